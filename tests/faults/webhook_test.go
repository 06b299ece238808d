package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
)

// hookReceiver keeps what webhooks send to it, by path.
type hookReceiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  map[string][]hookRequest
	seen map[string]string // path and body, by webhook-id
	bad  []string          // webhook-ids that came with something else
}

type hookRequest struct{ id, tree, word string }

func newHookReceiver(t *testing.T) *hookReceiver {
	r := &hookReceiver{got: map[string][]hookRequest{}, seen: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP takes one event. A webhook-id that comes again must come with the same body, to the same webhook.
func (r *hookReceiver) ServeHTTP(_ http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	var e struct {
		Tree string `json:"root_task_id"`
		Task string `json:"task_id"`
		Type string `json:"type"`
	}
	_ = json.Unmarshal(body, &e)
	r.mu.Lock()
	defer r.mu.Unlock()
	id, what := q.Header.Get("webhook-id"), q.URL.Path+" "+string(body)
	if old, is := r.seen[id]; id == "" || is && old != what {
		r.bad = append(r.bad, fmt.Sprintf("webhook-id %q came with %s and with %s", id, old, what))
	}
	r.seen[id] = what
	r.got[q.URL.Path] = append(r.got[q.URL.Path], hookRequest{id, e.Tree, e.Type + " " + e.Task})
}

// told is nil once a webhook was told all of a tree, in order: what comes again is left out.
func (r *hookReceiver) told(path, tree string, want []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first []string
	seen := map[string]bool{}
	for _, q := range r.got[path] {
		if q.tree == tree && !seen[q.id] {
			seen[q.id] = true
			first = append(first, q.word)
		}
	}
	if !slices.Equal(first, want) {
		return fmt.Errorf("%s was told of %s:\n%s\nwant\n%s", path, tree, strings.Join(first, "\n"), strings.Join(want, "\n"))
	}
	return nil
}

// storyOf is what webhooks are told of a tree that completed, of all its events: begin, what its tasks did, end. That is more than the runs of its
// tasks if workers were taken for lost meanwhile.
func (s *site) storyOf(root string, begin []string, end string) (want []string) {
	s.t.Helper()
	words := map[coordinator.EventType]string{coordinator.EventStart: "task_start", coordinator.EventCompleted: "task_completed", coordinator.EventRetry: "task_retry"}
	completed := 0
	for e, err := range s.front.Watch(s.t.Context(), root, 0) {
		switch {
		case err != nil:
			s.t.Fatal(err)
		case e.Type == coordinator.EventExecution:
			for _, word := range begin {
				want = append(want, word+" "+root)
			}
		case e.Type == coordinator.EventFinal:
			want = append(want, end+" "+root)
		case words[e.Type] != "":
			want = append(want, words[e.Type]+" "+e.TaskID)
		}
		if e.Type == coordinator.EventCompleted {
			completed++
		}
	}
	if completed != chainTasks || len(want) < 2*chainTasks+2 {
		s.t.Fatalf("%s has the events %s", root, want)
	}
	return want
}

// endLeases ends the leases of whoever held webhooks: no test waits for that.
func (s *site) endLeases() {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.base.Postgres)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(s.t.Context(), "update webhook_cursor set due = now() where holder is not null"); err != nil {
		s.t.Fatal(err)
	}
}

// TestKilledWhileTellingWebhooks kills the only coordinator around each step of a delivery, and around the commits that make events and
// webhooks. A webhook of the execution and one of the cluster are told every event all the same, in order, and what they are told again has the
// webhook-id that it had.
func TestKilledWhileTellingWebhooks(t *testing.T) {
	t.Parallel()
	s, r := newSharedSite(t), newHookReceiver(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	if _, err := s.front.CreateWebhook(t.Context(), coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: r.URL + "/cluster"}, Events: coordinator.WebhookEvents()}); err != nil {
		t.Fatal(err)
	}
	told := func(point, tree, path string) {
		t.Helper()
		own, all := s.storyOf(tree, []string{"progress"}, "final"), s.storyOf(tree, []string{"tree_created", "tree_started"}, "tree_completed")
		eventually(t, point+": all was told", func() error { return errors.Join(r.told(path, tree, own), r.told("/cluster", tree, all)) })
	}
	for n, point := range []string{"coordinator.after-submit-commit=kill", "coordinator.after-execute-commit=kill"} {
		settings := s.settings(SubmitRole)
		path := "/" + settings.Name
		settings.Hook, settings.Hold = r.URL+path, n == 1
		victim, err := StartProcess(settings, point)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(victim.Kill)
		s.dies(victim)
		if err := settings.hook(t.Context(), s.front); err != nil {
			t.Errorf("%s: asked again: %v", point, err)
		}
		told(point, settings.Name, path)
	}
	for _, point := range []string{
		"coordinator.after-webhook-sent=kill", "coordinator.after-webhook-sent=kill@9",
		"coordinator.before-webhook-move=kill", "coordinator.before-webhook-move=kill@4",
		"coordinator.after-webhook-move=kill", "coordinator.after-webhook-move=kill@4",
		"coordinator.before-settle-commit=kill@2", "coordinator.after-settle-commit=kill",
	} {
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Errorf("%s: %v", spare.Settings.Name, err)
		}
		settings := s.settings(SubmitRole)
		path := "/" + settings.Name
		settings.Hook = r.URL + path
		if err := settings.hook(t.Context(), s.front); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		s.endLeases()
		spare = s.start(CoordinatorRole, "")
		told(point, settings.Name, path)
	}
	s.check()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, bad := range r.bad {
		t.Error(bad)
	}
}
