package hostile

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// BenchmarkTasksGet is what it costs that callers are asked who they are: tasks.get over HTTP on a real cluster, by one client after the other's
// answer, with a secret and without.
func BenchmarkTasksGet(b *testing.B) {
	for name, auth := range map[string]config.Auth{"nobody is asked": {}, "HS256": {Secret: "a secret of thirty-two bytes, ok", Algorithm: "HS256"}} {
		b.Run(name, func(b *testing.B) {
			c := cluster.Start(b, cluster.Options{Coordinator: func(c *config.Coordinator) { c.Auth, c.HTTPAddr = auth, "127.0.0.1:0" }})
			header := http.Header{"Content-Type": {"application/json"}}
			if auth.On() {
				verifier, err := node.Tokens(&auth)
				if err != nil {
					b.Fatal(err)
				}
				token, err := verifier.Issue("amy", nil, time.Hour, time.Now())
				if err != nil {
					b.Fatal(err)
				}
				header.Set("Authorization", "Bearer "+token)
			}
			post := func(body string) {
				r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.Coordinators[0].P.HTTP+"/tasks", bytes.NewBufferString(body))
				if err != nil {
					b.Fatal(err)
				}
				r.Header = header
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					b.Fatal(err)
				}
				defer answer.Body.Close()
				text, err := io.ReadAll(answer.Body)
				if err != nil || !bytes.Contains(text, []byte(`"id":"a"`)) {
					b.Fatalf("got %s, %v", text, err)
				}

			}
			post(rpc("tasks.create", `[{"id":"a","name":"a","schemas":{"method":"noop_executor"}}]`))
			for b.Loop() {
				post(rpc("tasks.get", `{"task_id":"a"}`))
			}
		})
	}
}
