package jsonrpc_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// counting takes submissions, and keeps no task.
type counting struct {
	*apitest.Service
	tasks int
}

func (c *counting) Submit(_ context.Context, _ coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	for _, err := range tasks {
		if err != nil {
			return nil, err
		}
		c.tasks++
	}
	return &coordinator.Submitted{TreeID: "root"}, nil
}

// BenchmarkExecute reads a body with a tree of tasks as those of tests/bench, up to what is stored.
func BenchmarkExecute(b *testing.B) {
	const n = 10_000
	var body bytes.Buffer
	body.WriteString(`{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"tasks":[`)
	for i := range n {
		if i > 0 {
			body.WriteString(`,`)
		}
		fmt.Fprintf(&body, `{"id":"root-%d","name":"resize-image","parent_id":"root","schemas":{"method":"noop_executor"},"inputs":`+
			`{"value":{"ok":true,"output":"%s"},"url":"%s"}}`, i, strings.Repeat("r", 76), strings.Repeat("u", 150))
	}
	body.WriteString(`]}}`)
	svc := &counting{Service: apitest.New()}
	handler := jsonrpc.New(coordinator.NewAccess(svc, coordinator.AllowAll), jsonrpc.Config{Log: slog.New(slog.DiscardHandler)})
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		svc.tasks = 0
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/tasks", bytes.NewReader(body.Bytes())))
		if rec.Code != http.StatusOK || svc.tasks != n {
			b.Fatal(rec.Code, svc.tasks, rec.Body)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "tasks/s")
}
