package jsonrpc_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

const secret = "a secret of thirty-two bytes, ok"

// errorSite is a cluster with stored trees, whose coordinators answer over HTTP: the first lets everybody do all, the second asks who calls, and the
// third has one stream.
type errorSite struct {
	*testing.T
	c *cluster.Cluster
}

// errorAnswer is an answer with an error, or a result.
type errorAnswer struct {
	status int
	whole  string
	code   int
	text   string // data, or its reasons
	result string
}

// id is a UUID of version 4.
func id(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

// with puts UUIDs in place of #1, #23 and so on.
func with(text string) string {
	return references.ReplaceAllStringFunc(text, func(ref string) string {
		var n int
		_, _ = fmt.Sscanf(ref, "#%d", &n)
		return id(n)
	})
}

var references = regexp.MustCompile(`#\d+`)

// fixtures are trees in every status: 10 is held, 20 has completed, 30 runs with a failed, a blocked and a running task, 40 was cancelled.
var fixtures = []struct{ method, params string }{
	{"tasks.create", `[{"id":"#10","name":"held","user_id":"amy","project":"x"},{"id":"#11","name":"first","parent_id":"#10"},
		{"id":"#12","name":"second","parent_id":"#10","dependencies":["#11"]},{"id":"#13","name":"below","parent_id":"#11","area":7}]`},
	{"tasks.execute", `{"wait":true,"tasks":[{"id":"#20","name":"done","user_id":"amy","schemas":{"method":"sleep_executor"},"inputs":{"seconds":0}},
		{"id":"#21","name":"child","parent_id":"#20","schemas":{"method":"sleep_executor"},"inputs":{"seconds":0}}]}`},
	{"tasks.execute", `[{"id":"#30","name":"runs","user_id":"amy","schemas":{"method":"sleep_executor"},"inputs":{"seconds":86400}},
		{"id":"#31","name":"fails","parent_id":"#30","schemas":{"method":"no_such_executor"}},
		{"id":"#32","name":"blocked","parent_id":"#30","dependencies":["#31"],"schemas":{"method":"sleep_executor"}},
		{"id":"#33","name":"after","parent_id":"#30","dependencies":[{"id":"#32","required":false}],"schemas":{"method":"sleep_executor"},"inputs":{"seconds":86400}}]`},
	{"tasks.create", `[{"id":"#40","name":"cancelled","user_id":"amy"}]`},
	{"tasks.cancel", `{"task_id":"#40"}`},
	{"config.llm_key.set", `{"user_id":"amy","provider":"openai","api_key":"sk-canary"}`},
}

func startErrorSite(t *testing.T) *errorSite {
	t.Helper()
	s := &errorSite{T: t, c: cluster.Start(t, cluster.Options{Coordinators: 3, Coordinator: func(c *config.Coordinator) {
		c.HTTPAddr, c.SealKey = "127.0.0.1:0", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
		switch c.Name {
		case "coordinator-2":
			c.Secret = secret
		case "coordinator-3":
			c.EventStreams = 1
		}
	}})}
	t.Cleanup(func() { _, _ = s.c.Service().Cancel(context.Background(), id(30), coordinator.CancelOptions{}) }) // its worker need not wait for it
	for _, one := range fixtures {
		if got := s.ask(0, one.method, one.params, false); got.code != 0 {
			t.Fatalf("%s: %s", one.method, got.whole)
		}
	}
	s.c.Eventually("the trees are as they are to be", func() error {
		tasks := s.c.Tasks(id(30))
		for n, state := range map[int]string{30: "running", 31: "failed", 32: "blocked", 33: "running"} {
			if got := tasks[id(n)].State.String(); got != state {
				return fmt.Errorf("task %d is %s", n, got)
			}
		}
		return nil
	})
	return s
}

// ask makes a call at a coordinator, in one of the dialects.
func (s *errorSite) ask(at int, method, params string, protocol bool, headers ...string) errorAnswer {
	s.Helper()
	return s.post(s.c.Coordinators[at].P.HTTP, method, params, protocol, headers...)
}

func (s *errorSite) post(url, method, params string, protocol bool, headers ...string) (a errorAnswer) {
	s.Helper()
	dialect := ""
	if protocol {
		dialect = `"protocol":"1.0",`
	}
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, url+pathOf(method),
		strings.NewReader(`{"jsonrpc":"2.0",`+dialect+`"id":7,"method":"`+method+`","params":`+with(params)+`}`))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	var answer struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
			Data    any
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		s.Fatalf("%s %s: %v in %s", method, params, err, body)
	}
	a = errorAnswer{status: res.StatusCode, whole: string(body), result: string(answer.Result)}
	if answer.Error != nil {
		a.code, a.text = answer.Error.Code, textOf(answer.Error.Data)
	}
	return a
}

// textOf is the text of an error: its data, or in the protocol the reasons there, a line each.
func textOf(data any) string {
	switch data := data.(type) {
	case string:
		return data
	case map[string]any:
		if all, ok := data["errors"].([]any); ok {
			lines := make([]string, len(all))
			for i, one := range all {
				lines[i] = textOf(one)
			}
			return strings.Join(lines, "\n")
		}
		return fmt.Sprint(data["reason"])
	}
	return fmt.Sprintf("neither text nor object: %v", data)
}

func pathOf(method string) string {
	for _, m := range jsonrpc.Methods() {
		if m.Name == method {
			return m.Path
		}
	}
	return "/tasks"
}

// stored is all that calls could have changed.
func (s *errorSite) stored() string {
	s.Helper()
	tasks := s.ask(0, "tasks.list", `{"root_only":false,"limit":1000}`, false)
	keys := s.ask(0, "config.llm_key.get", `{"user_id":"amy"}`, false)
	others := s.ask(0, "config.llm_key.get", `{"user_id":"eve"}`, false)
	if tasks.code != 0 || keys.code != 0 {
		s.Fatalf("what is stored can't be read: %s, %s", tasks.whole, keys.whole)
	}
	hooks := s.ask(0, "webhooks.list", `{}`, false)
	return tasks.result + keys.result + others.result + hooks.result
}

// httpOf is the status of HTTP of a code (spec 5.2, 12.4).
func httpOf(code int, protocol bool) int {
	if !protocol {
		return map[int]int{0: 200, -32000: 503, -32001: 403, -32603: 500}[code] + 400*boolean(code < -32599 && code != -32603)
	}
	return map[int]int{0: 200, -32000: 503, -32603: 500, -32001: 404, -32004: 403, -32006: 409, -32008: 409, -32009: 409, -32002: 400, -32005: 400,
		-32010: 400, -32011: 400, -32012: 400, -32600: 400, -32601: 400, -32602: 400, -32700: 400}[code]
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// check compares an answer with the code and the text that it must have; a text that ends in … is only the beginning.
func (s *errorSite) check(what string, got errorAnswer, protocol bool, code, status int, text string) {
	s.Helper()
	if status == 0 {
		status = httpOf(code, protocol)
	}
	shown := got.text
	if code == 0 {
		shown = got.result
	}
	text, beginning := strings.CutSuffix(with(text), "…")
	if got.code != code || got.status != status || shown != text && !(beginning && strings.HasPrefix(shown, text)) {
		s.Errorf("%s, protocol %v: got HTTP %d and %s\nwant HTTP %d, code %d and %q", what, protocol, got.status, got.whole, status, code, text)
	}
}

// What calls with errors get at real coordinators, which keep their trees as they are.
func TestErrorsOverHTTP(t *testing.T) {
	t.Parallel()
	s := startErrorSite(t)
	for name, test := range map[string]func(*errorSite){
		"every error of every method": testEveryError, "every method asks who calls": testWhoCalls,
		"every method tells failures": testFailures, "no stream is left": testNoStreamLeft, "own keys": testOwnKeys,
	} {
		t.Run(name, func(t *testing.T) { test(&errorSite{t, s.c.For(t)}) })
	}
}

// Each method with each error of spec 2, 3.8, 4.1, 5 and 12.4, in both dialects, at a coordinator that serves: code, status and text are those of the
// specification, and nothing is stored.
func testEveryError(s *errorSite) {
	before := s.stored()
	met := map[string][]string{} // texts by method
	for _, row := range errorRows() {
		for _, protocol := range []bool{false, true} {
			if row.only != "" && row.only != map[bool]string{false: "classic", true: "protocol"}[protocol] {
				continue
			}
			code, text := row.code, row.text
			if protocol && row.protocol != 0 {
				code = row.protocol
			}
			if protocol && row.reason != "" {
				text = row.reason
			}
			got := s.ask(0, row.method, row.params, protocol)
			s.check(row.method+" "+row.params, got, protocol, code, 0, text)
			met[row.method] = append(met[row.method], got.text)
			if after := s.stored(); after != before {
				s.Fatalf("%s %s, protocol %v: got stored\n%s\nwant what was there before\n%s", row.method, row.params, protocol, after, before)
			}
		}
	}
	for _, m := range jsonrpc.Methods() {
		if len(met[m.Name]) == 0 {
			s.Errorf("%s has no row in this table", m.Name)
		}
		for _, text := range m.Errors {
			if pattern := patternOf(text); !strings.Contains(pattern, "custom\\.KEY") && !matches(pattern, met[m.Name]) {
				s.Errorf("%s: no row gets the error %q of the table of methods", m.Name, text)
			}
		}
	}
}

// patternOf is a text of the table of methods as an expression: <id> and … stand for anything.
func patternOf(text string) string {
	return `(?s)^` + regexp.MustCompile(`<\w+>|…`).ReplaceAllString(regexp.QuoteMeta(text), `.*`)
}

func matches(pattern string, texts []string) bool {
	for _, text := range texts {
		if regexp.MustCompile(pattern).MatchString(text) {
			return true
		}
	}
	return false
}

// Every method refuses who has no token, or one that is not believed, and who may not do that (spec 5.2, 5.6, 12.4).
func testWhoCalls(s *errorSite) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "eve", "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte(secret))
	if err != nil {
		s.Fatal(err)
	}
	before := s.stored()
	for _, m := range jsonrpc.Methods() {
		params, ok := validParams[m.Name]
		if !ok {
			s.Errorf("%s has no valid parameters in this test", m.Name)
			continue
		}
		for _, protocol := range []bool{false, true} {
			// Who has no token is refused before the body is read, so the answer is of no dialect, and has no id (spec 5.2).
			for header, text := range map[string]string{"": "Missing Authorization header or cookie", "Bearer nope": "Invalid or expired JWT token"} {
				got := s.ask(1, m.Name, params, protocol, "Authorization", header)
				want := `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Unauthorized","data":"` + text + `"}}`
				if strings.TrimSpace(got.whole) != want || got.status != 401 {
					s.Errorf("%s with %q: got HTTP %d and %s, want 401 and %s", m.Name, header, got.status, got.whole, want)
				}
			}
			s.checkDenied(m.Name, s.ask(1, m.Name, params, protocol, "Authorization", "Bearer "+token), protocol)
		}
	}
	if after := s.stored(); after != before {
		s.Errorf("got stored\n%s\nwant what was there before\n%s", after, before)
	}
}

// operations are what refusals call each method (spec 5.6); those without one are no one's.
// permissions are what eve lacks.
var permissions = map[string]string{
	"tasks.create": "trees.create", "tasks.execute": "trees.execute", "tasks.generate": "trees.create", "tasks.update": "trees.update",
	"tasks.delete": "trees.delete", "tasks.copy": "trees.copy", "webhooks.list": "webhooks.read", "webhooks.get": "webhooks.read",
	"webhooks.deliveries": "webhooks.read", "webhooks.update": "webhooks.write", "webhooks.delete": "webhooks.write", "webhooks.test": "webhooks.write",
	"config.llm_key.set": "modelkeys.write", "config.llm_key.delete": "modelkeys.write", "tasks.cancel": "trees.cancel", "tasks.running.cancel": "trees.cancel", "tasks.skip": "trees.cancel", "pauses.set": "trees.cancel", "pauses.delete": "trees.cancel",
	"schedules.create": "schedules.write", "schedules.get": "schedules.read", "schedules.list": "schedules.read", "schedules.update": "schedules.write", "schedules.pause": "schedules.run",
	"schedules.resume": "schedules.run", "schedules.trigger": "schedules.run", "schedules.backfill": "schedules.run", "schedules.delete": "schedules.write", "schedules.secret": "schedules.write", "schedules.runs": "schedules.read",
	"flows.validate": "flows.read", "flows.apply": "flows.write", "flows.get": "flows.read", "flows.list": "flows.read", "flows.delete": "flows.write", "flows.run": "trees.create", "bundles.apply": "flows.write", "bundles.list": "flows.read", "bundles.delete": "flows.write", "profiles.apply": "flows.write", "profiles.get": "flows.read", "profiles.list": "flows.read", "profiles.delete": "flows.write", "runs.cancel": "trees.cancel", "runs.resume": "trees.execute", "runs.restart": "trees.create",
	"tasks.signal": "trees.signal", "tasks.approve": "approvals.answer", "tasks.approval.link": "approvals.answer",
}

var operations = map[string]string{
	"tasks.create": "create tasks for", "tasks.execute": "execute", "tasks.generate": "generate tasks for", "tasks.get": "access", "tasks.detail": "access",
	"tasks.tree": "access", "tasks.children": "access", "tasks.list": "list tasks for", "tasks.update": "update", "tasks.delete": "delete", "tasks.copy": "copy",
	"tasks.running.list": "list tasks for", "tasks.running.count": "count tasks for", "tasks.why": "access", "tasks.skip": "skip task for", "tasks.signal": "send signals to tasks of", "tasks.approve": "answer approvals of", "tasks.approval.link": "answer approvals of", "artifacts.list": "access", "artifacts.get": "access", "usage.list": "access", "webhooks.list": "manage webhooks of",
	"schedules.create": "schedule trees for", "schedules.get": "see schedules of", "schedules.list": "see schedules of", "schedules.update": "change schedules of", "schedules.pause": "run schedules of",
	"schedules.resume": "run schedules of", "schedules.trigger": "run schedules of", "schedules.backfill": "run schedules of", "schedules.delete": "change schedules of", "schedules.secret": "change schedules of", "schedules.runs": "see schedules of",
	"flows.validate": "see flows of", "flows.apply": "keep flows for", "flows.get": "see flows of", "flows.list": "see flows of", "flows.delete": "change flows of", "flows.run": "run flows for",
	"bundles.apply": "keep bundles for", "bundles.list": "see bundles of", "bundles.delete": "change bundles of",
	"profiles.apply": "keep profiles for", "profiles.get": "see profiles of", "profiles.list": "see profiles of", "profiles.delete": "change profiles of",
	"runs.get": "access", "runs.list": "list runs for", "runs.cancel": "cancel runs for", "runs.resume": "execute", "runs.restart": "run flows for",
	"pauses.set": "pause", "pauses.delete": "resume",
	"config.llm_key.set": "set LLM key for", "config.llm_key.delete": "delete LLM key for",
}

// checkDenied checks the answer to eve, whom nothing of amy's concerns.
func (s *errorSite) checkDenied(method string, got errorAnswer, protocol bool) {
	s.Helper()
	denied := func(operation string) string {
		return "Permission denied: User eve can only " + operation + " their own resources; missing permission: " + cmp.Or(permissions[method], "trees.read")
	}
	code := map[bool]int{false: -32001, true: -32004}[protocol]
	switch method {
	case "tasks.cancel", "tasks.running.cancel": // one answer for each id
		text := denied("cancel task for")
		s.check(method, got, protocol, 0, 0, `[{"task_id":"#30","status":"failed","message":"`+text+`","error":"`+text+`","force":false},`+
			`{"task_id":"#99","status":"failed","message":"`+text+`","error":"`+text+`","force":false}]`)
	case "tasks.running.status":
		s.check(method, got, protocol, 0, 0, `[{"task_id":"#30","context_id":"#30","status":"permission_denied","progress":0.0,"error":"`+denied("access")+
			`","is_running":false,"started_at":null,"updated_at":null},{"task_id":"#99","context_id":"#99","status":"permission_denied",…`)
	case "config.llm_key.get": // never an error (spec 5.8)
		s.check(method, got, protocol, 0, 0, `{"has_key":false,"user_id":"amy","provider":null,"providers":{}}`)
	case "tasks.resolve":
		s.check(method, got, protocol, map[bool]int{false: -32602, true: -32001}[protocol], 0, "Task #10 not found")
	case "webhooks.create", "webhooks.resend":
		s.check(method, got, protocol, code, 0, "Permission denied: User eve has no right to do that in namespace default; missing permission: webhooks.write")
	case "webhooks.get", "webhooks.update", "webhooks.delete", "webhooks.test", "webhooks.deliveries":
		s.check(method, got, protocol, code, 0, denied("manage webhooks of"))
	case "limits.set", "limits.delete", "limits.weight", "limits.list", "locks.list", "locks.break":
		missing := map[bool]string{false: "limits.write", true: "limits.read"}[strings.HasSuffix(method, ".list")]
		s.check(method, got, protocol, code, 0, "Permission denied: User eve has no right to do that in namespace default; missing permission: "+missing)
	case "erasures.start", "erasures.get", "erasures.list":
		missing := map[bool]string{true: "erasures.write", false: "erasures.read"}[method == "erasures.start"]
		s.check(method, got, protocol, code, 0, "Permission denied: User eve has no right to do that in namespace default; missing permission: "+missing)
	case "holds.set", "holds.delete":
		s.check(method, got, protocol, code, 0, "Permission denied: User eve has no right to do that in namespace default; missing permission: holds.write")
	case "holds.list": // of her trees
		s.check(method, got, protocol, 0, 0, `{"holds":[]}`)
	case "pauses.list": // of her trees
		s.check(method, got, protocol, 0, 0, `{"pauses":[]}`)
	case "bundles.put_file": // what she puts is her own
		s.check(method, got, protocol, 0, 0, `{"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`)
	case "system.health", "executors.list", "executors.get", "schedules.next":
		s.check(method, got, protocol, 0, 0, "{…")
	default:
		s.check(method, got, protocol, code, 0, denied(operations[method]))
	}
}

// Whatever a coordinator can't do now, or fails at, has its code with every method, and its text tells nothing of the inside (spec K2, 5.2).
func testFailures(s *errorSite) {
	before := s.stored()
	for _, tt := range []struct {
		err  error
		code int
		text string
	}{
		{errUnavailable, -32000, "the service is unavailable, try again"},
		{errOverload, -32000, "too many requests at once, try again"},
		{errors.New("secret place"), -32603, "internal error …"},
	} {
		site := policed(s.T, s.c.Service(), tt.err)
		for _, m := range jsonrpc.Methods() {
			if m.Name == "system.health" { // which answers that it is not
				continue
			}
			for _, protocol := range []bool{false, true} {
				s.check(m.Name, s.post(site, m.Name, validParams[m.Name], protocol), protocol, tt.code, 0, tt.text)
			}
		}
	}
	if after := s.stored(); after != before {
		s.Errorf("got stored\n%s\nwant what was there before\n%s", after, before)
	}
}

// A coordinator whose streams are all in use refuses what would be one more, before anything of it starts (spec 5.2).
func testNoStreamLeft(s *errorSite) {
	res, err := http.Get(s.c.Coordinators[2].P.HTTP + "/tasks/" + id(30) + "/events")
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	before := s.stored()
	for _, call := range [][2]string{
		{"tasks.execute", `{"tasks":[{"name":"x"}],"use_streaming":true}`}, {"tasks.execute", `{"task_id":"#10","wait":true}`}, {"tasks.generate", `{"requirement":"x"}`},
	} {
		for _, protocol := range []bool{false, true} {
			s.check(call[0], s.ask(2, call[0], call[1], protocol), protocol, -32000, 0, "too many requests at once, try again")
		}
	}
	if after := s.stored(); after != before {
		s.Errorf("got stored\n%s\nwant what was there before\n%s", after, before)
	}
}
