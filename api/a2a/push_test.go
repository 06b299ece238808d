package a2a_test

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

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// receiver keeps what is pushed to it.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []pushed
	answer func(n int, r *http.Request) int // status for the n-th request, from 0; nil: 200
	news   chan struct{}
}

type pushed struct {
	method string
	header http.Header
	body   string
	task   task // of either line
	answer int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		p := pushed{method: q.Method, header: q.Header, body: string(body), answer: 200}
		var wrapped struct{ Task task }
		_ = json.Unmarshal(body, &wrapped)
		if p.task = wrapped.Task; p.task.ID == "" {
			_ = json.Unmarshal(body, &p.task)
		}
		r.mu.Lock()
		n, answer := len(r.got), r.answer
		r.mu.Unlock()
		if answer != nil {
			p.answer = answer(n, q)
		}
		r.mu.Lock()
		r.got = append(r.got, p)
		r.mu.Unlock()
		w.WriteHeader(p.answer)
		select {
		case r.news <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// untilEnd waits for a notification that a task has ended, and gives all that came.
func (r *receiver) untilEnd(t *testing.T) []pushed {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if n := len(got); n > 0 && got[n-1].answer == 200 && strings.HasSuffix(strings.ToLower(got[n-1].task.Status.State), "completed") {
			return got
		}
		select {
		case <-r.news:
		case <-deadline:
			t.Fatalf("no end within a minute: %+v", got)
		}
	}
}

// pushing is a cluster that may push to this machine.
func pushing(t *testing.T, more func(*config.Coordinator)) *cluster.Cluster {
	return cluster.Start(t, cluster.Options{Coordinator: func(c *config.Coordinator) {
		c.HTTPAddr, c.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0"
		c.WebhookAllow = config.List{"127.0.0.1"}
		c.SealKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
		c.WebhookPause = 10 * time.Millisecond
		if more != nil {
			more(c)
		}
	}})
}

// Both lines: the whole task after each event, with token and credentials, tried again, and the end last, also of a tree that ends at once.
func TestNotifications(t *testing.T) {
	t.Parallel()
	c := pushing(t, nil)
	for _, line := range []struct{ method, message, config, state string }{
		{"message/send", `{"messageId":"m","role":"user","parts":[{"kind":"data","data":` + pair + `}]}`,
			`"pushNotificationConfig":{"url":%q,"token":"to-ken","method":"PUT","headers":{"X-Mine":"yes"},"authentication":{"schemes":["Bearer"],"credentials":"cred"}}`, "completed"},
		{"SendMessage", `{"messageId":"m","role":"ROLE_USER","parts":[{"data":` + pair + `}]}`,
			`"taskPushNotificationConfig":{"url":%q,"token":"to-ken","method":"PUT","headers":{"X-Mine":"yes"},"authentication":{"scheme":"Bearer","credentials":"cred"}}`, "TASK_STATE_COMPLETED"},
	} {
		t.Run(line.method, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			r.answer = func(n int, _ *http.Request) int { return map[bool]int{true: 500, false: 200}[n == 0] }
			sent := map[string]json.RawMessage{}
			called(t, c.Coordinators[0].P.HTTP, line.method, `{"message":`+line.message+`,"configuration":{`+fmt.Sprintf(line.config, r.URL)+`}}`, &sent)
			var want task
			whole, _ := json.Marshal(sent)
			if inner, wrapped := sent["task"]; wrapped {
				whole = inner
			}
			if err := json.Unmarshal(whole, &want); err != nil || want.ID == "" {
				t.Fatalf("%v: %s", err, whole)
			}
			got := r.untilEnd(t)
			if len(got) != 7 { // start, two starts and ends, end, and the first again
				t.Errorf("got %d notifications, want 7: %+v", len(got), got)
			}
			if a, b := got[0].header.Get("webhook-id"), got[1].header.Get("webhook-id"); a != b || a == "" {
				t.Errorf("the first was tried again as %q, %q", a, b)
			}
			for i, p := range got {
				h := p.header
				if p.method != "PUT" || h.Get("X-A2A-Notification-Token") != "to-ken" || h.Get("Authorization") != "Bearer cred" || h.Get("X-Mine") != "yes" || h.Get("Content-Type") != "application/json" {
					t.Errorf("notification %d: %s %v", i, p.method, h)
				}
				if ended := p.task.Status.State == line.state; p.task.ID != want.ID || p.task.ContextID != want.ContextID || len(p.task.History) != 1 || ended != (i == len(got)-1) {
					t.Errorf("notification %d: got %s, want the whole task %s, at work but for the last", i, p.body, want.ID)
				}
			}
			last := got[len(got)-1].task
			if len(last.Artifacts) != 1 || last.Artifacts[0].Parts[0].Data["task_count"] != 2.0 || last.Metadata["root_task_id"] != want.Metadata["root_task_id"] {
				t.Errorf("the end: got %s", got[len(got)-1].body)
			}
		})
	}
}

// A coordinator stops while it sends: another one tells the rest, and nothing secret is in Postgres in the clear.
func TestNotificationsSurviveARestart(t *testing.T) {
	t.Parallel()
	c := pushing(t, nil)
	r := newReceiver(t)
	under, first := make(chan struct{}), sync.Once{}
	r.answer = func(n int, q *http.Request) (status int) {
		status = 200
		first.Do(func() {
			close(under)
			<-q.Context().Done() // its coordinator has stopped
			status = 500
		})
		return status
	}
	var sent task
	called(t, c.Coordinators[0].P.HTTP, "message/send", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"data","data":`+pair+`}]},
		"configuration":{"blocking":true,"pushNotificationConfig":{"url":"`+r.URL+`/canary-path-0123456789?key=canary-query","token":"canary-token","headers":{"X-Key":"canary-header"},"authentication":{"schemes":["Bearer"],"credentials":"canary-credentials"}}}}`, &sent)
	<-under
	if err := c.Coordinators[0].Stop(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `select table_name from information_schema.tables where table_schema = current_schema() and table_type = 'BASE TABLE'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		t.Fatalf("%v: %v", tables, err)
	}
	for _, table := range tables {
		var found int
		if err := conn.QueryRow(t.Context(), `select count(*) from `+pgx.Identifier{table}.Sanitize()+` r where r::text like '%canary%' or r::text like '%63616e617279%'`).Scan(&found); err != nil || found > 0 {
			t.Errorf("%s: %d rows with something secret, %v", table, found, err)
		}
	}
	c.AddCoordinator()
	got := r.untilEnd(t)
	seen := map[string]bool{}
	for _, p := range got {
		if p.answer == 200 && seen[p.header.Get("webhook-id")] {
			t.Errorf("told twice: %s", p.body)
		}
		seen[p.header.Get("webhook-id")] = p.answer == 200
		if p.header.Get("X-A2A-Notification-Token") != "canary-token" || p.header.Get("Authorization") != "Bearer canary-credentials" || p.task.ID != sent.ID {
			t.Errorf("got %v %s", p.header, p.body)
		}
	}
	if len(seen) != 6 {
		t.Errorf("got %d events, want 6: %+v", len(seen), got)
	}
	var list []struct {
		PushNotificationConfig struct{ ID, URL, Token string }
	}
	called(t, c.Coordinators[1].P.HTTP, "tasks/pushNotificationConfig/list", `{"id":"`+sent.ID+`"}`, &list)
	if shown, _ := json.Marshal(list); len(list) != 1 || list[0].PushNotificationConfig.ID != sent.ID || strings.Contains(string(shown), "canary-query") {
		t.Errorf("got %s, want the configuration without what is secret", shown)
	}
}

// What can't be kept is refused, and nothing is stored.
func TestBadPushConfigs(t *testing.T) {
	t.Parallel()
	c := pushing(t, func(c *config.Coordinator) { c.SealKey = "" })
	url := c.Coordinators[0].P.HTTP
	var kept task
	called(t, url, "message/send", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"data","data":{"id":"kept","name":"kept","schemas":{"method":"noop_executor"}}}]}}`, &kept)
	called(t, url, "tasks/pushNotificationConfig/set", `{"taskId":"`+kept.ID+`","pushNotificationConfig":{"id":"one","url":"https://example.com/hook"}}`, &struct{}{})
	for config, want := range map[string]string{
		`{}`:                          "pushNotificationConfig.url is required",
		`[]`:                          "pushNotificationConfig must be an object",
		`{"url":7}`:                   "url must be a string",
		`{"url":"ftp://h"}`:           "pushNotificationConfig.url: must begin with https:// or http:// and name a host",
		`{"url":"http://10.0.0.1/x"}`: "pushNotificationConfig.url: address 10.0.0.1 is not public, and TASKGROVE_WEBHOOK_ALLOW does not name it",
		`{"url":"http://[::1]:9/x"}`:  "pushNotificationConfig.url: address ::1 is not public, and TASKGROVE_WEBHOOK_ALLOW does not name it",
		`{"url":"http://169.254.169.254/latest"}`:                                         "pushNotificationConfig.url: address 169.254.169.254 is not public, and TASKGROVE_WEBHOOK_ALLOW does not name it",
		`{"url":"https://h","method":"GET"}`:                                              "pushNotificationConfig.method: must be POST or PUT",
		`{"url":"https://h","headers":{"a":1}}`:                                           "pushNotificationConfig.headers must be an object of texts",
		`{"url":"https://h","headers":{"Host":"x"}}`:                                      "pushNotificationConfig.headers.Host: is set by each delivery itself",
		`{"url":"https://h","authentication":{"schemes":"Bearer"}}`:                       "authentication.schemes must be an array of strings",
		`{"url":"https://h","id":"` + strings.Repeat("i", 201) + `"}`:                     "pushNotificationConfig.id must be at most 200 bytes long",
		`{"url":"https://h","token":"t"}`:                                                 "pushNotificationConfig.token: looks secret, and there is no key to seal it with: set TASKGROVE_SEAL_KEY or TASKGROVE_SEAL_KEY_FILE",
		`{"url":"https://h","authentication":{"schemes":["Basic"],"credentials":"eA=="}}`: "pushNotificationConfig.authentication: looks secret, and there is no key to seal it with: set TASKGROVE_SEAL_KEY or TASKGROVE_SEAL_KEY_FILE",
	} {
		replacing := config
		if !strings.Contains(config, `"id"`) {
			replacing = strings.Replace(config, `{"url"`, `{"id":"one","url"`, 1)
		}
		for method, params := range map[string]string{
			"message/send":                     `{"message":{"messageId":"m","role":"user","parts":[{"kind":"data","data":{"id":"bad","name":"bad"}}]},"configuration":{"pushNotificationConfig":` + config + `}}`,
			"tasks/pushNotificationConfig/set": `{"taskId":"` + kept.ID + `","pushNotificationConfig":` + replacing + `}`,
		} {
			if code, text := refused(t, url, method, params); code != -32602 || text != want {
				t.Errorf("%s with %s:\ngot  %d %s\nwant -32602 %s", method, config, code, text, want)
			}
		}
	}
	if _, err := c.Service().Task(t.Context(), "bad"); err == nil {
		t.Error("a tree was stored with a bad configuration")
	}
	var got struct {
		PushNotificationConfig struct{ ID, URL string }
	}
	called(t, url, "tasks/pushNotificationConfig/get", `{"id":"`+kept.ID+`","pushNotificationConfigId":"one"}`, &got)
	if got.PushNotificationConfig.URL != "https://example.com/hook" {
		t.Errorf("a bad configuration took the place of a good one: %+v", got)
	}
}

// Configurations are set, shown, listed, replaced and deleted, over JSON-RPC of both lines, and REST.
func TestPushConfigs(t *testing.T) {
	t.Parallel()
	c := pushing(t, nil)
	url := c.Coordinators[0].P.HTTP
	var kept task
	called(t, url, "message/send", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"data","data":{"name":"kept","schemas":{"method":"noop_executor"}}}]}}`, &kept)
	type config03 struct {
		TaskID                 string
		PushNotificationConfig struct{ ID, URL, Token string }
	}
	type config1 struct{ TaskID, ID, URL, Token string }
	const methods03, secret = "tasks/pushNotificationConfig/", "s3cret"
	var old config03
	called(t, url, methods03+"set", `{"task_id":"`+kept.ID+`","push_notification_config":{"url":"https://a.example/1","token":"`+secret+`"}}`, &old)
	if p := old.PushNotificationConfig; old.TaskID != kept.ID || p.ID != kept.ID || p.URL != "https://a.example/1" || p.Token != "" {
		t.Errorf("set: got %+v", old)
	}
	var made config1
	called(t, url, "CreateTaskPushNotificationConfig", `{"taskId":"`+kept.ID+`","id":"two","url":"https://a.example/2","token":"`+secret+`"}`, &made)
	called(t, url, "CreateTaskPushNotificationConfig", `{"taskId":"`+kept.ID+`","id":"two","url":"https://a.example/3"}`, &made)
	if made != (config1{kept.ID, "two", "https://a.example/3", ""}) {
		t.Errorf("replaced: got %+v", made)
	}
	var list struct{ Configs []config1 }
	called(t, url, "ListTaskPushNotificationConfigs", `{"taskId":"`+kept.ID+`"}`, &list)
	if len(list.Configs) != 2 {
		t.Errorf("got %+v, want two", list)
	}
	res, err := http.Get(url + "/a2a/v1/tasks/" + kept.ID + "/pushNotificationConfigs/two")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got config1
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got != made {
		t.Errorf("over REST: got %+v, %v", got, err)
	}
	var none any
	called(t, url, "DeleteTaskPushNotificationConfig", `{"taskId":"`+kept.ID+`","id":"two"}`, &none)
	called(t, url, methods03+"delete", `{"id":"`+kept.ID+`","pushNotificationConfigId":"two"}`, &none) // as good as done
	for method, params := range map[string]string{methods03 + "get": `{"id":"` + kept.ID + `","pushNotificationConfigId":"two"}`, methods03 + "list": `{"id":"nope"}`} {
		if code, text := refused(t, url, method, params); code != -32001 {
			t.Errorf("%s: got %d %s, want -32001", method, code, text)
		}
	}
	called(t, url, methods03+"get", `{"id":"`+kept.ID+`"}`, &old)
	if old.PushNotificationConfig.ID != kept.ID {
		t.Errorf("got %+v, want the one that is left", old)
	}
}
