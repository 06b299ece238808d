package approvals_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/approvals"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestLinksAnswerOnceAndOnlyWhenPosted plays the life of a link: it is fetched, answered wrongly, answered, and answered again.
func TestLinksAnswerOnceAndOnlyWhenPosted(t *testing.T) {
	svc := apitest.New()
	got, err := svc.Submit(context.Background(), coordinator.SubmitOptions{}, func(yield func(*dag.Task, error) bool) {
		yield(&dag.Task{ID: "ask", Name: "ask", Executor: "approval_executor"}, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	svc.Start("ask")
	svc.Await("ask", coordinator.Waiting{Kind: "approval", Data: []byte(`{"message":"Deploy <b>117</b>?\u001b[2J"}`)})
	handler := approvals.New(coordinator.NewAccess(svc, func(context.Context, coordinator.Caller, coordinator.Call) (coordinator.Grant, error) {
		return coordinator.Grant{}, nil
	}), nil)
	mux := http.NewServeMux()
	for _, path := range approvals.Paths {
		mux.Handle(path, handler)
	}
	server := httptest.NewServer(mux)
	defer server.Close()
	ask := func(method, token, form, accept string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+coordinator.LinkPath+token, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", accept)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != http.StatusMethodNotAllowed && !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("got the policy %q", policy)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	token := "link-" + got.TreeID
	for _, step := range []struct {
		method, token, form, accept string
		status                      int
		text                        string
	}{
		{"GET", token, "", "text/html", 200, "Deploy &lt;b&gt;117&lt;/b&gt;?"},
		{"HEAD", token, "", "text/html", 200, ""},
		{"GET", token + "?choice=approve", "", "text/html", 200, `<button name="choice" value="approve">`},
		{"GET", token, "", "", 200, "Deploy <b>117</b>?\uFFFD[2J\n\nPOST to answer: choice is one of approve, reject"},
		{"PUT", token, "choice=approve", "", 405, ""},
		{"GET", "none", "", "text/html", 404, "none, or its time is over"},
		{"POST", token, "choice=perhaps", "text/html", 400, "none of the choices"},
		{"POST", token + "?choice=approve", "", "text/html", 400, "none of the choices"},
		{"POST", token, "choice=approve&comment=fine", "text/html", 200, "Your answer is <b>approve</b>"},
		{"POST", token, "choice=reject", "text/html", 409, "conflict"},
		{"GET", token, "", "text/html", 409, "conflict"},
	} {
		status, text := ask(step.method, step.token, step.form, step.accept)
		if status != step.status || !strings.Contains(text, step.text) {
			t.Errorf("%s %s with %q: got %d and %s\nwant %d and %s", step.method, step.token, step.form, status, text, step.status, step.text)
		}
	}
	shown, err := svc.Task(context.Background(), got.TreeID)
	if err != nil || shown.State != dag.Completed {
		t.Errorf("got the task %+v and %v, want it completed", shown, err)
	}
}
