package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// artifactBytes is how large the file is that goes from one command to another.
const artifactBytes = 1 << 30

// throughArtifacts has a command make a file of 1 GiB, and another one read it: through the worker, a coordinator and the stream in NATS, and back.
// The content does not repeat, so that nothing is found to be the same.
func throughArtifacts(ctx context.Context, o options) (figures []measured, err error) {
	o.commands, o.concurrency = true, 16
	c, err := startCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	before := make([]float64, len(c.roles))
	for i, r := range c.roles {
		before[i] = r.peak()
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tasks.execute", "params": map[string]any{"tasks": []map[string]any{
		{"id": "files", "name": "files"},
		{"id": "make", "name": "make", "parent_id": "files", "schemas": map[string]any{"method": "command_executor"}, "artifacts": []string{"large.bin"},
			"inputs": map[string]any{"command": fmt.Sprintf("openssl enc -aes-128-ctr -pass pass:x -nosalt -in /dev/zero 2>/dev/null | head -c %d > large.bin", artifactBytes), "timeout": 600, "fail_on_error": true}},
		{"id": "read", "name": "read", "parent_id": "files", "schemas": map[string]any{"method": "command_executor"}, "dependencies": []map[string]any{{"id": "make", "required": true}},
			"inputs": map[string]any{"command": "wc -c", "stdin_from": "/make/artifacts/0", "timeout": 600, "fail_on_error": true}},
	}}})
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if answer, err := c.post(ctx, body); err != nil || bytes.Contains(answer, []byte(`"error"`)) {
		return nil, fmt.Errorf("submit: %w: %.500s", err, answer)
	}
	for done := false; !done; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		tree, err := c.client.Tree(ctx, "files")
		if err != nil {
			return nil, err
		}
		done = slices.Contains([]client.Status{client.StatusCompleted, client.StatusFailed, client.StatusCancelled}, tree.Status)
	}
	whole := time.Since(begin)
	tasks := map[string]*client.Task{}
	for _, id := range []string{"make", "read"} {
		if tasks[id], err = c.client.Task(ctx, id); err != nil {
			return nil, err
		}
	}
	if !bytes.Contains(tasks["read"].Result, []byte(fmt.Sprintf(`"stdout":"%d"`, artifactBytes))) {
		return nil, fmt.Errorf("make: %s, read: %.300s %s", tasks["make"].Error, tasks["read"].Result, tasks["read"].Error)
	}
	seconds := func(t *client.Task) float64 { return t.CompletedAt.Sub(t.StartedAt).Seconds() }
	all := []figure{
		{"1 GiB from command to command, by artifacts", "s", whole.Seconds()},
		{"1 GiB from command to command: making and saving it", "s", seconds(tasks["make"])},
		{"1 GiB from command to command: fetching and reading it", "s", seconds(tasks["read"])},
	}
	for i, r := range c.roles {
		all = append(all, figure{"1 GiB from command to command: most memory of " + r.name, "MiB", r.peak()},
			figure{"1 GiB from command to command: before, " + r.name, "MiB", before[i]})
	}
	for _, f := range all {
		figures = append(figures, measured{f, o.concurrency, 1})
	}
	return figures, nil
}
