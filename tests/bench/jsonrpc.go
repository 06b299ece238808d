package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// documentTask is a task as a JSON document has it.
type documentTask struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Parent  string `json:"parent_id,omitempty"`
	Schemas any    `json:"schemas"`
	Inputs  any    `json:"inputs"`
}

// request is a call of JSON-RPC.
type request struct {
	Version string        `json:"jsonrpc"`
	ID      int           `json:"id"`
	Method  string        `json:"method"`
	Params  requestParams `json:"params"`
}

type requestParams struct {
	Tasks []documentTask `json:"tasks"`
	Key   string         `json:"idempotency_key,omitempty"`
}

// jsonTasks is how many tasks are submitted at most: a request has 64 MiB at most, and tasks.create answers with a tree of 100 000
// tasks at most.
const jsonTasks = 99_000

// plainly is the way of submitting that a bar is about.
const plainly = "through JSON-RPC"

// jsonName is what the rate of a way of submitting is called.
func jsonName(tasks int, way string) string { return fmt.Sprintf("submit %d %s", tasks, way) }

// throughJSON submits the flat tree through JSON-RPC, as one request, and tells how long that took, from the beginning of the
// client's encoding to the end of the answer: to store and start it; the same with an idempotency key; and to store it, which is answered with the
// whole tree.
func throughJSON(ctx context.Context, c *cluster, o options) (figures []figure, err error) {
	n := min(o.tasks, jsonTasks)
	for _, way := range []struct{ name, method, key string }{
		{plainly, "tasks.execute", ""},
		{"through JSON-RPC, with a key", "tasks.execute", "key"},
		{"through JSON-RPC, stored and shown", "tasks.create", ""}, // the last: its tree never ends
	} {
		coordinator, postgres := c.roles[1].cpu(), c.postgresCPU() // NATS is the first role
		took, encoded, err := c.submitJSON(ctx, way.method, way.key, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way.name, err)
		}
		name := jsonName(n, way.name)
		perTask := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
		figures = append(figures, figure{name, "tasks/s", float64(n) / took.Seconds()},
			figure{name + ": the client's encoding", "µs/task", perTask(encoded)},
			figure{name + ": cpu of coordinator", "µs/task", perTask(c.roles[1].cpu() - coordinator)},
			figure{name + ": cpu of postgres, all processes", "µs/task", perTask(c.postgresCPU() - postgres)})
		if way.method == "tasks.create" {
			break
		}
		if err := c.allEnded(ctx); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// submitJSON submits a flat tree of n tasks by one call.
func (c *cluster) submitJSON(ctx context.Context, method, key string, n int) (took, encoded time.Duration, err error) {
	begin := time.Now()
	call := request{Version: "2.0", ID: 1, Method: method, Params: requestParams{Key: key}}
	for t := range flatTree(method+key, claimed, n, payload) {
		call.Params.Tasks = append(call.Params.Tasks, documentTask{ID: t.ID, Name: t.Name, Parent: t.Parent, Schemas: t.Schemas, Inputs: t.Inputs})
	}
	body, err := json.Marshal(call)
	if err != nil {
		return 0, 0, err
	}
	encoded = time.Since(begin)
	answer, err := c.post(ctx, body)
	took = time.Since(begin)
	if err == nil && !bytes.Contains(answer, []byte(`"result":{`)) {
		err = fmt.Errorf("%.1000s", answer)
	}
	return took, encoded, err
}

// post sends a JSON-RPC request.
func (c *cluster) post(ctx context.Context, body []byte) (answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.http+"/tasks", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(got.Body)
}
