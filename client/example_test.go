package client_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// A server stands in for the cluster here, and the example plays the worker.
func Example() {
	svc := apitest.New()
	server, err := grpcserver.Listen(coordinator.NewAccess(svc, coordinator.AllowAll), grpcserver.Config{Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	exited := make(chan struct{})
	go func() { defer close(exited); _ = server.Run(ctx) }()
	defer func() { cancel(); <-exited }()

	c, err := client.New(server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	sub, err := c.Submit(ctx, []client.NewTask{
		{ID: "report", Name: "report", Needs: []string{"fetch"}},
		{
			ID: "fetch", Name: "fetch", Parent: "report",
			Executor: "rest_executor",
			Inputs:   map[string]string{"url": "https://example.org/data"},
		},
	}, client.WithIdempotencyKey("report-of-monday"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("accepted", sub.TreeID, "with", sub.Tasks, "tasks")

	svc.Complete("fetch", `{"rows": 3}`)
	svc.Complete("report", `{}`)

	for event, err := range c.Watch(ctx, sub.TreeID, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Type, event.TaskID, event.Status)
	}
	tree, err := c.Wait(ctx, sub.TreeID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("tree", tree.Status)

	// Output:
	// accepted report with 2 tasks
	// progress report in_progress
	// task_completed fetch completed
	// task_completed report completed
	// final report completed
	// tree completed
}
