package jsonrpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// The coordinator that serves a stream is killed: its client goes on with another by the last id, and gets each event once.
func TestClientsOfAKilledCoordinatorResume(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"SSE", "WebSocket"} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Coordinators: 2})
			alive, kill := context.WithCancel(context.Background())
			first, second := front(t, c.Coordinators[0].P, alive), front(t, c.Coordinators[1].P, context.Background())
			tasks := `{"id":"r","name":"r","schemas":{"method":"sleep_executor"},"inputs":{"seconds":0.01}}`
			for i := range 8 {
				before := ""
				if i > 0 {
					before = fmt.Sprintf(`"t%d"`, i-1)
				}
				tasks += fmt.Sprintf(`,{"id":"t%d","name":"t","parent_id":"r","dependencies":[%s],"schemas":{"method":"sleep_executor"},"inputs":{"seconds":0.1}}`, i, before)
			}
			second.object("tasks.create", "["+tasks+"]")
			watch := watchSSE
			if over == "WebSocket" {
				watch = watchSocket
			}
			second.object("tasks.execute", `{"task_id":"r"}`)
			got, ended := watch(first, 0, 4)
			kill()
			c.Coordinators[0].Cut()
			if ended {
				t.Fatalf("the tree ended with %v, before its coordinator was killed", got)
			}
			rest, ended := watch(second, got[len(got)-1], 0)
			if got = append(got, rest...); !ended {
				t.Errorf("the stream did not come to its end: %v", got)
			}
			for i, id := range got {
				if id != i+1 {
					t.Fatalf("got events %v, want each once", got)
				}
			}
			// The execution's start and end, and those of nine tasks; more if a lost attempt was repeated.
			tree, err := c.Coordinators[1].P.Tree(t.Context(), "r")
			if err != nil || int64(len(got)) != tree.Sequence || len(got) < 20 {
				t.Errorf("got %d events of %+v (%v), want all, at least 20: %v", len(got), tree, err, got)
			}
		})
	}
}

// front serves JSON-RPC of a coordinator until the context ends: then its connections are cut.
func front(t *testing.T, svc coordinator.Service, alive context.Context) *site {
	server := httptest.NewUnstartedServer(jsonrpc.New(coordinator.NewAccess(svc, coordinator.AllowAll), jsonrpc.Config{Log: slog.New(slog.DiscardHandler)}))
	server.Config.BaseContext = func(net.Listener) context.Context { return alive }
	server.Start()
	t.Cleanup(server.Close)
	context.AfterFunc(alive, server.CloseClientConnections)
	return &site{T: t, url: server.URL}
}

// watchSSE gives the ids of so many events, all for 0, and whether the stream came to its end.
func watchSSE(s *site, after, most int) (ids []int, ended bool) {
	r := s.open("GET", "/tasks/r/events", "", "Last-Event-ID", strconv.Itoa(after))
	for most == 0 || len(ids) < most {
		f, ok := r.next()
		if !ok {
			return ids, false
		}
		if id, err := strconv.Atoi(f.id); err == nil {
			ids = append(ids, id)
		}
		if f.event == "stream_end" {
			return ids, true
		}
	}
	return ids, false
}

func watchSocket(s *site, after, most int) (ids []int, ended bool) {
	c := s.dial()
	c.say(fmt.Sprintf(`{"action":"subscribe","task_id":"r","last_event_id":%d}`, after))
	for most == 0 || len(ids) < most {
		frame, err := c.hear()
		if err != nil {
			return ids, false
		}
		if id, ok := frame["id"].(float64); ok {
			ids = append(ids, int(id))
		}
		if frame["type"] == "stream_end" {
			return ids, true
		}
	}
	return ids, false
}
