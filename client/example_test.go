package client_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// Submit a tree, follow it, and read its end.
func Example() {
	ctx := context.Background()
	c, cluster, stop := local() // client.New("127.0.0.1:7700")
	defer stop()

	sub, err := c.Submit(ctx, []client.NewTask{
		{ID: "report", Name: "report", Executor: "aggregate_results_executor", Needs: []string{"fetch"}},
		{ID: "fetch", Name: "fetch", Parent: "report", Executor: "rest_executor", Inputs: map[string]string{"url": "https://example.org/data"}},
	}, client.WithIdempotencyKey("report-of-monday"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("accepted", sub.TreeID, "with", sub.Tasks, "tasks")

	cluster.Complete("fetch", `{"rows": 3}`)
	cluster.Complete("report", `{}`)

	for event, err := range c.Watch(ctx, sub.TreeID, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Type, event.TaskID, event.Status)
	}

	// Output:
	// accepted report with 2 tasks
	// progress report in_progress
	// task_completed fetch completed
	// task_completed report completed
	// final report completed
}

// Several coordinators behind one name, and calls that give up.
func ExampleNew() {
	c, err := client.New("dns:///coordinators.example.org:7700", client.WithCallTimeout(10*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println("the first call connects")
	// Output: the first call connects
}

// A task starts when the tasks that it needs have completed and those that it wants have ended, successfully or not.
func ExampleClient_Submit() {
	ctx := context.Background()
	c, cluster, stop := local()
	defer stop()

	sub, err := c.Submit(ctx, []client.NewTask{
		{Name: "publish", Executor: "rest_executor", Needs: []string{"build"}, Wants: []string{"lint"}},
		{Name: "build", Parent: "publish", Executor: "command_executor", Timeout: time.Hour, Priority: client.High},
		{Name: "lint", Parent: "publish", Executor: "command_executor", Retry: client.RetryPolicy{MaxAttempts: 3}},
	}, client.WithUser("ann"), client.WithTreeTimeout(2*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	root, err := c.Task(ctx, sub.TreeID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(root.Name, "has", len(root.Dependencies), "dependencies and belongs to", cluster.LastSubmit().UserID)
	// Output: publish has 2 dependencies and belongs to ann
}

// A large tree is made while it is sent.
func ExampleClient_SubmitSeq() {
	c, _, stop := local()
	defer stop()

	var pages iter.Seq2[*client.NewTask, error] = func(yield func(*client.NewTask, error) bool) {
		if !yield(&client.NewTask{ID: "all", Name: "all pages"}, nil) {
			return
		}
		for i := range 5000 {
			page := &client.NewTask{ID: fmt.Sprint("page-", i), Name: "page", Parent: "all", Executor: "rest_executor", Inputs: map[string]any{"page": i}}
			if !yield(page, nil) {
				return
			}
		}
	}
	sub, err := c.SubmitSeq(context.Background(), pages)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sub.Tasks, "tasks")
	// Output: 5001 tasks
}

func ExampleClient_SubmitJSON() {
	c, _, stop := local()
	defer stop()

	document := strings.NewReader(`[{"name": "hello", "schemas": {"method": "noop_executor"}, "inputs": {"value": 1}}]`)
	sub, err := c.SubmitJSON(context.Background(), document)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sub.Tasks, "task")
	// Output: 1 task
}

func ExampleClient_SubmitFile() {
	c, _, stop := local()
	defer stop()

	file := []byte(`taskgrove: 1
name: greeting
parameters:
  who: {type: string, required: true}
tasks:
  - name: greet
    executor: noop
    inputs: {to: "{{parameters.who}}"}
`)
	sub, err := c.SubmitFile(context.Background(), file, map[string]any{"who": "you"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sub.Tasks, "tasks")

	_, err = c.SubmitFile(context.Background(), file, nil)
	if bad, ok := errors.AsType[*client.InvalidError](err); ok {
		fmt.Println(bad.Faults[0].Reason)
	}
	// Output:
	// 2 tasks
	// document:4:3: parameters.who: is required, and no value is given
}

// Submit, wait, and read the result of a task as a Go value. ID matters from the second run on: another tree has the id then.
func ExampleClient_SubmitAndWait() {
	ctx := context.Background()
	c, cluster, stop := local()
	defer stop()
	go play(cluster, "count", `{"words": 3}`)

	sub, tree, err := c.SubmitAndWait(ctx, []client.NewTask{
		{ID: "count", Name: "count", Executor: "word_count", Inputs: map[string]string{"text": "one two three"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	count, err := client.Result[struct{ Words int }](ctx, c, sub.ID("count"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tree.Status, "with", count.Words, "words")
	// Output: completed with 3 words
}

// With a key, a submission may be repeated: after a crash, say, when nobody knows whether it arrived.
func ExampleWithIdempotencyKey() {
	ctx := context.Background()
	c, _, stop := local()
	defer stop()

	for range 2 {
		sub, err := c.Submit(ctx, []client.NewTask{{ID: "bill", Name: "bill"}}, client.WithIdempotencyKey("bill-2026-11"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(sub.TreeID, "replayed:", sub.Replayed)
	}
	// Output:
	// bill replayed: false
	// bill replayed: true
}

// Wait returns a failed tree without an error: its status says that it failed.
func ExampleClient_Wait() {
	ctx := context.Background()
	c, cluster, stop := local()
	defer stop()

	sub, err := c.Submit(ctx, []client.NewTask{{ID: "copy", Name: "copy", Executor: "command_executor"}})
	if err != nil {
		log.Fatal(err)
	}
	cluster.Fail("copy", "disk is full")
	tree, err := c.Wait(ctx, sub.TreeID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tree.Status, tree.Failed, "of", tree.Tasks)
	// Output: failed 1 of 1
}

// Continue after the last event that was seen.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, cluster, stop := local()
	defer stop()

	sub, err := c.Submit(ctx, []client.NewTask{{ID: "copy", Name: "copy"}})
	if err != nil {
		log.Fatal(err)
	}
	cluster.Start("copy")
	cluster.Complete("copy", `{}`)
	const seen = 2
	for event, err := range c.Watch(ctx, sub.TreeID, seen) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Sequence, event.Type)
	}
	// Output:
	// 3 task_completed
	// 4 final
}

func ExampleResult() {
	ctx := context.Background()
	c, cluster, stop := local()
	defer stop()

	if _, err := c.Submit(ctx, []client.NewTask{{ID: "list", Name: "list"}}); err != nil {
		log.Fatal(err)
	}
	cluster.Complete("list", `["a", "b"]`)
	names, err := client.Result[[]string](ctx, c, "list")
	fmt.Println(len(names), names, err)
	// Output: 2 [a b] <nil>
}

// Why there is no result.
func ExampleTaskError() {
	ctx := context.Background()
	c, cluster, stop := local()
	defer stop()

	if _, err := c.Submit(ctx, []client.NewTask{{ID: "pay", Name: "pay"}}); err != nil {
		log.Fatal(err)
	}
	cluster.Fail("pay", "the card was refused")
	_, err := client.Result[any](ctx, c, "pay")
	if failed, ok := errors.AsType[*client.TaskError](err); ok {
		fmt.Println(failed.Task.Status, failed.Task.Error)
	}
	// Output: failed the card was refused
}

// Every fault of a tree is reported at once, with the field that it is in. Nothing is stored.
func ExampleInvalidError() {
	c, _, stop := local()
	defer stop()

	_, err := c.Submit(context.Background(), []client.NewTask{
		{Name: "a", Inputs: []int{1}},
		{Name: "b", Parent: "a", Executor: "x_executor", Schemas: map[string]string{"method": "y_executor"}},
	})
	if invalid, ok := errors.AsType[*client.InvalidError](err); ok {
		for _, fault := range invalid.Faults {
			fmt.Println(fault.Field)
		}
	}
	// Output:
	// tasks[0].inputs
	// tasks[1].executor
}

func ExampleError() {
	c, _, stop := local()
	defer stop()

	_, err := c.Task(context.Background(), "nobody")
	if errors.Is(err, client.ErrNotFound) {
		fmt.Println(err)
	}
	// Output: task nobody: not found
}

// Store a tree now and start it later.
func ExampleClient_Execute() {
	ctx := context.Background()
	c, _, stop := local()
	defer stop()

	sub, err := c.Submit(ctx, []client.NewTask{{ID: "nightly", Name: "nightly"}}, client.Hold())
	if err != nil {
		log.Fatal(err)
	}
	started, err := c.Execute(ctx, sub.TreeID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(started.Status, started.Tasks)
	// Output: started 1
}

func ExampleClient_Cancel() {
	ctx := context.Background()
	c, _, stop := local()
	defer stop()

	if _, err := c.Submit(ctx, []client.NewTask{{ID: "nightly", Name: "nightly"}}); err != nil {
		log.Fatal(err)
	}
	for range 2 { // cancelling a task that has ended is not an error
		got, err := c.Cancel(ctx, "nightly", client.WithMessage("not tonight"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("done:", got.Done, "ended before:", got.Status == client.StatusCancelled)
	}
	// Output:
	// done: true ended before: false
	// done: false ended before: true
}

// What does a task wait for?
func ExampleClient_Why() {
	ctx := context.Background()
	c, _, stop := local()
	defer stop()

	if _, err := c.Submit(ctx, []client.NewTask{{ID: "nightly", Name: "nightly"}}, client.Hold()); err != nil {
		log.Fatal(err)
	}
	why, err := c.Why(ctx, "nightly")
	if err != nil {
		log.Fatal(err)
	}
	for _, wait := range why.Waits {
		fmt.Println(wait.Kind)
	}
	// Output: execute
}

// The tasks of a tree, page by page.
func ExampleClient_Tasks() {
	ctx := context.Background()
	c, _, stop := local()
	defer stop()

	if _, err := c.Submit(ctx, []client.NewTask{
		{ID: "root", Name: "root"}, {ID: "a", Name: "a", Parent: "root"}, {ID: "b", Name: "b", Parent: "root"},
	}); err != nil {
		log.Fatal(err)
	}
	for task, err := range c.Tasks(ctx, client.TaskFilter{TreeOf: "root", PageSize: 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(task.ID, task.State)
	}
	// Output:
	// root ready
	// a ready
	// b ready
}
