package triggers_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/triggers"
	"github.com/taskgrove/taskgrove/coordinator"
)

// taker takes each call, unless its body says what is wrong.
type taker struct {
	*apitest.Service
	took []coordinator.ScheduleEvent
}

func (s *taker) TakeEvent(_ context.Context, e coordinator.ScheduleEvent) (*coordinator.ScheduleRun, error) {
	s.took = append(s.took, e)
	switch string(e.Body) {
	case "unsigned":
		return nil, coordinator.ErrUnsigned
	case "paused":
		return nil, fmt.Errorf("%w: the schedule is paused", coordinator.ErrConflict)
	case "full":
		return nil, coordinator.ErrEventsWait
	case "late":
		return nil, &coordinator.InvalidArgumentError{Field: "webhook-timestamp", Reason: "is more than 5m0s ago"}
	case "broken":
		return nil, fmt.Errorf("dial tcp db.internal: refused")
	}
	return &coordinator.ScheduleRun{Schedule: e.Schedule, FireTime: time.Unix(1, 0), Status: "due"}, nil
}

// TestCalls: what a call looks like is judged before anybody is asked, and each refusal has its status and says what is wrong.
func TestCalls(t *testing.T) {
	t.Parallel()
	svc := &taker{Service: apitest.New()}
	mux := http.NewServeMux()
	mux.Handle(triggers.Path, triggers.New(coordinator.NewAccess(svc, func(context.Context, coordinator.Caller, coordinator.Call) (coordinator.Grant, error) {
		return coordinator.Grant{}, nil
	}), nil))
	server := httptest.NewServer(mux)
	defer server.Close()
	const signed = "Webhook-Id: a|Webhook-Timestamp: 1|Webhook-Signature: v1,x|Content-Type: application/json"
	for _, row := range []struct {
		fact, method, headers, body string
		status                      int
		text                        string
		asked                       bool
	}{
		{"a call", "POST", signed, `{"a":1}`, 202, `{"schedule":"a/b","fire_time":"1970-01-01T00:00:01Z","status":"due"}`, true},
		{"of a kind of JSON", "POST", strings.ReplaceAll(signed, "/json", "/cloudevents+json; charset=utf-8"), `{}`, 202, `"due"`, true},
		{"as large as may be", "POST", signed, strings.Repeat("x", coordinator.MaxEventBytes), 202, `"due"`, true},
		{"too large", "POST", signed, strings.Repeat("x", coordinator.MaxEventBytes+1), 413, "at most 256 KiB", false},
		{"GET", "GET", signed, "", 405, "POST", false},
		{"PUT", "PUT", signed, "{}", 405, "POST", false},
		{"a form", "POST", strings.ReplaceAll(signed, "json", "x-www-form-urlencoded"), `a=1`, 415, "application/json", false},
		{"no type", "POST", strings.ReplaceAll(signed, "|Content-Type: application/json", ""), `{}`, 415, "application/json", false},
		{"no id", "POST", strings.ReplaceAll(signed, "Webhook-Id: a|", ""), `{}`, 400, "webhook-id: is required", false},
		{"no header", "POST", "Content-Type: application/json", `{}`, 400, "webhook-id: is required: calls are signed as Standard Webhooks say; webhook-timestamp: is required: calls are signed as Standard Webhooks say; webhook-signature: is required", false},
		{"two types", "POST", signed + "|Content-Type: text/plain", `{}`, 415, "application/json", false},
		{"compressed", "POST", signed + "|Content-Encoding: gzip", `{}`, 415, "must not be compressed", false},
		{"not compressed, as is said", "POST", signed + "|Content-Encoding: identity", `{}`, 202, `"due"`, true},
		{"two ids", "POST", signed + "|Webhook-Id: b", `{}`, 400, "webhook-id: must be there once", false},
		{"no time", "POST", strings.ReplaceAll(signed, "Webhook-Timestamp: 1|", ""), `{}`, 400, "webhook-timestamp: is required", false},
		{"a time in words", "POST", strings.ReplaceAll(signed, "Timestamp: 1", "Timestamp: noon"), `{}`, 400, "webhook-timestamp: must be whole seconds", false},
		{"no signature", "POST", strings.ReplaceAll(signed, "Webhook-Signature: v1,x|", ""), `{}`, 400, "webhook-signature: is required", false},
		{"a long signature", "POST", strings.ReplaceAll(signed, "v1,x", strings.Repeat("v1,x ", 1000)), `{}`, 400, "webhook-signature: must be at most", false},
		{"not signed by us", "POST", signed, "unsigned", 401, "no such webhook", true},
		{"late", "POST", signed, "late", 400, "webhook-timestamp: is more than 5m0s ago", true},
		{"paused", "POST", signed, "paused", 409, "the schedule is paused", true},
		{"full", "POST", signed, "full", 429, "too many runs", true},
		{"broken", "POST", signed, "broken", 500, "internal error", true},
	} {
		svc.took = nil
		req, err := http.NewRequestWithContext(t.Context(), row.method, server.URL+"/triggers/default/a%2Fb", strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(row.headers, "|") {
			name, value, _ := strings.Cut(line, ": ")
			req.Header.Add(name, value)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != row.status || !strings.Contains(string(text), row.text) || strings.Contains(string(text), "db.internal") {
			t.Errorf("%s: got HTTP %d %.200s %v, want %d %s", row.fact, res.StatusCode, text, err, row.status, row.text)
		}
		if (len(svc.took) > 0) != row.asked || row.asked && (svc.took[0].Schedule != "a/b" || svc.took[0].Namespace != "default" || string(svc.took[0].Body) != row.body) {
			t.Errorf("%s: %d calls were taken further", row.fact, len(svc.took))
		}
		if again := res.Header.Get("Retry-After"); (again == "10") != (row.status == 429) {
			t.Errorf("%s: Retry-After %q", row.fact, again)
		}
	}
}

// TestBodiesThatDoNotCome: whoever sends a part of a body, or none in time, is told so, and it is no fault of the server's.
func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	svc, logged := &taker{Service: apitest.New()}, &strings.Builder{}
	mux := http.NewServeMux()
	mux.Handle(triggers.Path, triggers.New(coordinator.NewAccess(svc, func(context.Context, coordinator.Caller, coordinator.Call) (coordinator.Grant, error) {
		return coordinator.Grant{}, nil
	}), slog.New(slog.NewTextHandler(logged, nil))))
	server := httptest.NewUnstartedServer(mux)
	server.Config.ReadTimeout = 300 * time.Millisecond
	server.Start()
	defer server.Close()
	const head = "POST /triggers/default/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nWebhook-Id: a\r\nWebhook-Timestamp: 1\r\nWebhook-Signature: v1,x\r\nContent-Type: application/json\r\n"
	for sent, want := range map[string]string{
		"Content-Length: 9\r\n\r\n{}":                             "408 Request Timeout",
		"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n": "400 Bad Request",
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(head + sent)); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), want) || !strings.Contains(string(answer), "the body") {
			t.Errorf("%q: got %s %v, want %s", sent, answer, err, want)
		}
	}
	if len(svc.took) > 0 || logged.Len() > 0 {
		t.Errorf("%d calls were taken further, logged: %s", len(svc.took), logged)
	}
}
