package coordinator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// receiver keeps what webhooks send to it.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []delivered
	answer func(n int, d delivered) int // status for the n-th request, from 0; nil: 200
	news   chan struct{}
}

type delivered struct {
	ID, Method string
	Header     http.Header
	Body       []byte
}

// field is a key of the body.
func (d delivered) field(name string) any {
	var body map[string]any
	_ = json.Unmarshal(d.Body, &body)
	return body[name]
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		d := delivered{ID: q.Header.Get("webhook-id"), Method: q.Method, Header: q.Header, Body: body}
		r.mu.Lock()
		n := len(r.got)
		r.got = append(r.got, d)
		answer := r.answer
		r.mu.Unlock()
		status := 200
		if answer != nil {
			status = answer(n, d)
		}
		w.WriteHeader(status)
		select {
		case r.news <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// until waits until what came is as wanted, and gives it.
func (r *receiver) until(t *testing.T, what string, ok func([]delivered) bool) []delivered {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if ok(got) {
			return got
		}
		select {
		case <-r.news:
		case <-deadline:
			t.Fatalf("not within a minute: %s; came: %s", what, typesOf(got))
		}
	}
}

func typesOf(got []delivered) string {
	var all []string
	for _, d := range got {
		all = append(all, fmt.Sprint(d.field("type"), " ", d.field("task_id"), " ", d.field("status")))
	}
	return strings.Join(all, "; ")
}

// final reports whether the last is the end of an execution.
func final(got []delivered) bool { return len(got) > 0 && got[len(got)-1].field("final") == true }

const (
	testSeal   = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// hooked is a cluster whose webhooks may go to this machine.
func hooked(t *testing.T, opts cluster.Options) *cluster.Cluster {
	more := opts.Coordinator
	opts.Coordinator = func(c *config.Coordinator) {
		c.WebhookAllow = config.List{"127.0.0.1"}
		c.SealKey, c.WebhookSecret = testSeal, testSecret
		c.WebhookPause = 10 * time.Millisecond
		if more != nil {
			more(c)
		}
	}
	return cluster.Start(t, opts)
}

func TestEventsOfAnExecutionAreSent(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{Coordinators: 2})
	r := newReceiver(t)
	hook := &coordinator.Webhook{URL: r.URL + "/x", Method: "put", Headers: map[string]string{"X-Token": "canary"}}
	out := c.Submit(coordinator.SubmitOptions{Webhook: hook}, noop("root", "", "a"), noop("a", "root"))
	got := r.until(t, "the end", final)
	if want := "progress root in_progress; task_start a in_progress; task_completed a completed; task_start root in_progress; task_completed root completed; final root completed"; typesOf(got) != want {
		t.Errorf("got  %s\nwant %s", typesOf(got), want)
	}
	for i, d := range got {
		if d.Method != "PUT" || d.Header.Get("X-Token") != "canary" || d.Header.Get("Content-Type") != "application/json" || d.field("root_task_id") != out.TreeID || d.field("protocol") != "jsonrpc" {
			t.Errorf("request %d: %s %v %s", i, d.Method, d.Header, d.Body)
		}
	}
	if text := string(got[len(got)-1].Body); !strings.Contains(text, `"progress":1.0,"message":"Task tree execution completed","type":"final"`) || !strings.HasSuffix(text, `"final":true,"result":{"progress":1.0},"error":null}`) {
		t.Errorf("the last body is %s", text)
	}
}

// TestWhatFailsIsTriedAgain: 5xx as often as it may, in order; 4xx drops only that event (spec 5.5).
func TestWhatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{})
	r := newReceiver(t)
	tries := map[string]int{}
	r.answer = func(_ int, d delivered) int { // one request at a time: there is one tree
		what := fmt.Sprint(d.field("type"), d.field("task_id"))
		tries[what]++
		switch {
		case what == "progressroot" && tries[what] < 3:
			return 500
		case what == "task_starta":
			return 400
		case what == "task_completeda":
			return 503
		}
		return 204
	}
	c.Submit(coordinator.SubmitOptions{Webhook: &coordinator.Webhook{URL: r.URL}}, noop("root", "", "a"), noop("a", "root"))
	got := r.until(t, "the end", final)
	want := "progress root in_progress; progress root in_progress; progress root in_progress; task_start a in_progress; " +
		"task_completed a completed; task_completed a completed; task_completed a completed; " +
		"task_start root in_progress; task_completed root completed; final root completed"
	if typesOf(got) != want {
		t.Errorf("got  %s\nwant %s", typesOf(got), want)
	}
	if got[0].ID != got[2].ID || got[0].ID == got[3].ID || !strings.HasPrefix(got[0].ID, "msg_") {
		t.Errorf("ids: %q, %q, then %q", got[0].ID, got[2].ID, got[3].ID)
	}
}

func TestBadWebhooksAreRefused(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{Workers: 1})
	for want, hook := range map[string]coordinator.Webhook{
		"webhook.url: is required": {},
		"webhook.url: must begin with https:// or http:// and name a host":                                     {URL: "ftp://h"},
		"webhook.url: must have a port from 1 to 65535":                                                        {URL: "https://h:65536"},
		"webhook.url: must not hold a user or a password: send them in a header":                               {URL: "https://u:p@h"},
		"webhook.url: address 10.0.0.1 is not public, and TASKGROVE_WEBHOOK_ALLOW does not name it":            {URL: "http://10.0.0.1/x"},
		"webhook.url: address 169.254.169.254 is not public, and TASKGROVE_WEBHOOK_ALLOW does not name it":     {URL: "http://169.254.169.254/x"},
		"webhook.method: must be POST or PUT":                                                                  {URL: "https://h", Method: "GET"},
		"webhook.timeout: must be above 0 and at most 60 seconds":                                              {URL: "https://h", Timeout: time.Hour},
		"webhook.max_retries: must be at least 1 and at most 100":                                              {URL: "https://h", MaxAttempts: 101},
		"webhook.headers.Host: is set by each delivery itself":                                                 {URL: "https://h", Headers: map[string]string{"Host": "x"}},
		"webhook.headers.X: has a value that no header can have":                                               {URL: "https://h", Headers: map[string]string{"X": "a\r\nb: c"}},
		"webhook.secret: must be whsec_ and base64 of 24 to 64 bytes":                                          {URL: "https://h", Secret: "whsec_c2hvcnQ="},
		`webhook.body: text: "{{env.HOME}}": begins with none of event, tree, webhook (template.unknown_root)`: {URL: "https://h", Body: []byte(`{"text":"{{env.HOME}}"}`)},
		`webhook.body: text: "{{event.nope}}": event has id, type, task_id, name, status, progress, message, timestamp, final, result, error, attempt, sequence (template.missing_key)`: {URL: "https://h", Body: []byte(`{"text":"{{event.nope}}"}`)},
	} {
		_, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{Webhook: &hook}, cluster.Seq([]*dag.Task{noop("bad", "")}))
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if _, err := c.Service().Task(t.Context(), "bad"); err == nil {
			t.Fatal("a tree was stored")
		}
	}
}
