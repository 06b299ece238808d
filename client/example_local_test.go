package client_test

import (
	"context"
	"log"
	"log/slog"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// local is a client of a server in this process that stands in for a cluster. The examples play the worker by what it is.
func local() (c *client.Client, cluster *apitest.Service, stop func()) {
	cluster = apitest.New()
	server, err := grpcserver.Listen(coordinator.NewAccess(cluster, coordinator.AllowAll),
		grpcserver.Config{Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	exited := make(chan struct{})
	go func() { defer close(exited); _ = server.Run(ctx) }()
	if c, err = client.New(server.Addr().String()); err != nil {
		log.Fatal(err)
	}
	return c, cluster, func() {
		c.Close()
		cancel()
		<-exited
	}
}

// play completes a task as soon as it is there.
func play(cluster *apitest.Service, id, result string) {
	for {
		if _, err := cluster.Task(context.Background(), id); err == nil {
			cluster.Complete(id, result)
			return
		}
		time.Sleep(time.Millisecond)
	}
}
