package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/rest"
)

type object = map[string]any

// loopback is a network for services on this machine.
var loopback = network.New(network.Config{Guard: network.Guard{Loopback: true}})

func newExecutor(t *testing.T, cfg rest.Config) *rest.Executor {
	if cfg.RetryWaitMin == 0 {
		cfg.RetryWaitMin, cfg.RetryWaitMax = time.Millisecond, time.Millisecond
	}
	e := rest.New(cfg, loopback)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func run(t *testing.T, inputs any) (*rest.Result, error) {
	t.Helper()
	call, _ := conformance.Call(t, inputs)
	got, err := newExecutor(t, rest.Config{}).Run(t.Context(), call)
	result, _ := got.Value().(*rest.Result)
	return result, err
}

// echo answers with what it was sent.
func echo(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object{
			"method": r.Method, "path": r.URL.Path, "query": r.URL.RawQuery, "host": r.Host, "header": r.Header, "body": string(body),
		})
	}))
	t.Cleanup(s.Close)
	return s
}

func TestRequest(t *testing.T) {
	server := echo(t)
	for name, row := range map[string]struct {
		inputs object
		want   string // in the echoed request
	}{
		"GET by default":                    {object{}, `"method":"GET"`},
		"a method in lower case":            {object{"method": "delete"}, `"method":"DELETE"`},
		"params join the query":             {object{"url": "/a?x=1", "params": object{"b": true, "l": []any{1, "two"}, "n": nil}}, `"query":"x=1\u0026b=true\u0026l=1\u0026l=two\u0026n="`},
		"json is the body":                  {object{"method": "POST", "json": object{"a": []int{1}}}, `"body":"{\"a\":[1]}"`},
		"json wins over data":               {object{"method": "POST", "json": 1, "data": object{"a": "b"}}, `"body":"1"`},
		"json has its type":                 {object{"method": "POST", "json": object{}}, `"Content-Type":["application/json"]`},
		"a type that is given stays":        {object{"method": "POST", "json": object{}, "headers": object{"content-type": "text/x"}}, `"Content-Type":["text/x"]`},
		"data is a form":                    {object{"method": "POST", "data": object{"a": "b c", "n": 1}}, `"body":"a=b+c\u0026n=1"`},
		"data has its type":                 {object{"method": "POST", "data": object{"a": "b"}}, `"Content-Type":["application/x-www-form-urlencoded"]`},
		"host header":                       {object{"headers": object{"Host": "example.test"}}, `"host":"example.test"`},
		"bearer":                            {object{"auth": object{"type": "bearer", "token": "tok"}}, `"Authorization":["Bearer tok"]`},
		"bearer overrides no header":        {object{"headers": object{"Authorization": "mine"}, "auth": object{"type": "bearer", "token": "tok"}}, `"Authorization":["mine"]`},
		"basic":                             {object{"auth": object{"type": "basic", "username": "u", "password": "p"}}, `"Authorization":["Basic dTpw"]`},
		"api key in a header":               {object{"auth": object{"type": "apikey", "key": "X-Key", "value": "v"}}, `"X-Key":["v"]`},
		"api key in the query":              {object{"auth": object{"type": "apikey", "key": "k", "value": "v&", "location": "query"}}, `"query":"k=v%26"`},
		"incomplete auth is ignored":        {object{"auth": object{"type": "apikey", "key": "k", "location": "query"}}, `"query":""`},
		"idempotency key":                   {object{}, `"Idempotency-Key":["key-1"]`},
		"attempt":                           {object{}, `"X-Taskgrove-Attempt":["1"]`},
		"an idempotency key of the task's":  {object{"headers": object{"idempotency-key": "own"}}, `"Idempotency-Key":["own"]`},
		"user and password within the URL":  {object{"url": "user:secret-word@"}, `"Authorization":["Basic dXNlcjpzZWNyZXQtd29yZA=="]`},
		"null stands for absent everywhere": {object{"method": nil, "headers": nil, "params": nil, "json": nil, "data": nil, "timeout": nil, "auth": nil, "verify": nil, "follow_redirects": nil, "retries": nil}, `"body":""`},
	} {
		t.Run(name, func(t *testing.T) {
			where, _ := row.inputs["url"].(string)
			if before, ok := strings.CutSuffix(where, "@"); ok {
				row.inputs["url"] = strings.Replace(server.URL, "://", "://"+before+"@", 1)
			} else {
				row.inputs["url"] = server.URL + where
			}
			got, err := run(t, row.inputs)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got.Body, row.want) {
				t.Errorf("got  %s\nwant %s", got.Body, row.want)
			}
			if strings.Contains(got.URL, "secret-word") || strings.Contains(got.URL, "v%26") {
				t.Errorf("a secret shows: %s", got.URL)
			}
		})
	}
}

func TestResult(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "today")
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		switch r.URL.Path {
		case "/json":
			fmt.Fprint(w, `{"a": 12345678901234567890}`)
		case "/missing":
			w.WriteHeader(404)
			fmt.Fprint(w, `no`)
		case "/latin":
			_, _ = w.Write([]byte("caf\xe9"))
		case "/nul":
			_, _ = w.Write([]byte(`["a\u0000\\u0000"]`))
		case "/moved":
			w.Header().Set("X-Many", "1")
			w.Header().Add("X-Many", "2")
			w.Header().Set("Location", "/json?type=x")
			w.WriteHeader(302)
		}
	}))
	defer server.Close()
	const head = `"headers":{"content-length":"%d","content-type":"x","date":"today"}`
	for name, row := range map[string]struct {
		path   string
		inputs object
		want   string
	}{
		"JSON of any type is parsed": {"/json?type=x", object{},
			`{"url":"SERVER/json?type=x","status_code":200,` + fmt.Sprintf(head, 27) + `,"body":"{\"a\": 12345678901234567890}","json":{"a":12345678901234567890},"success":true,"method":"GET"}`},
		"a bad status is a success of the task": {"/missing?type=x", object{"method": "put"},
			`{"url":"SERVER/missing?type=x","status_code":404,` + fmt.Sprintf(head, 2) + `,"body":"no","json":null,"success":false,"method":"PUT"}`},
		"redirects are followed": {"/moved?type=x", object{},
			`{"url":"SERVER/json?type=x","status_code":200,` + fmt.Sprintf(head, 27) + `,"body":"{\"a\": 12345678901234567890}","json":{"a":12345678901234567890},"success":true,"method":"GET"}`},
		"unless told not to": {"/moved?type=x", object{"follow_redirects": false},
			`{"url":"SERVER/moved?type=x","status_code":302,"headers":{"content-length":"0","content-type":"x","date":"today","location":"/json?type=x","x-many":"1, 2"},"body":"","json":null,"success":false,"method":"GET"}`},
		"other charsets are decoded": {"/latin?type=text/plain;charset=iso-8859-1", object{},
			`{"url":"SERVER/latin?type=text/plain;charset=iso-8859-1","status_code":200,"headers":{"content-length":"4","content-type":"text/plain;charset=iso-8859-1","date":"today"},"body":"café","json":null,"success":true,"method":"GET"}`},
		"what is not text is base64": {"/latin?type=x", object{},
			`{"url":"SERVER/latin?type=x","status_code":200,` + fmt.Sprintf(head, 4) + `,"body":"Y2Fm6Q==","json":null,"success":true,"method":"GET","encoding":"base64"}`},
		"NUL is replaced within strings": {"/nul?type=x", object{},
			`{"url":"SERVER/nul?type=x","status_code":200,` + fmt.Sprintf(head, 18) + `,"body":"[\"a\\u0000\\\\u0000\"]","json":["a\ufffd\\u0000"],"success":true,"method":"GET"}`},
	} {
		t.Run(name, func(t *testing.T) {
			row.inputs["url"] = server.URL + strings.ReplaceAll(row.path, ";", "%3B")
			got, err := run(t, row.inputs)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.NewReplacer(server.URL, "SERVER", "%3B", ";").Replace(string(text)); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestInvalidInputs(t *testing.T) {
	for name, row := range map[string]struct{ inputs, want string }{
		"missing url":           {`{}`, `[rest_executor] url is required in inputs`},
		"another scheme":        {`{"url": "file:///etc/passwd"}`, `[rest_executor] url must begin with http:// or https://`},
		"no host":               {`{"url": "http:///x"}`, `[rest_executor] url has no host`},
		"an address alone":      {`{"url": "127.0.0.1:8080/x"}`, `[rest_executor] url must begin with http:// or https://`},
		"not a URL":             {`{"url": "http://a b:hunter2@"}`, `[rest_executor] url can't be parsed`},
		"a method of two words": {`{"url": "http://127.0.0.1", "method": "GET /x HTTP/1.1"}`, `[rest_executor] method can't be sent`},
		"a header injection":    {`{"url": "http://127.0.0.1", "headers": {"A": "b\r\nC: hunter2"}}`, `[rest_executor] headers: the value of A can't be sent`},
		"a header of lists":     {`{"url": "http://127.0.0.1", "headers": {"A": {"b": 1}}}`, `[rest_executor] headers: the value of A must be a string`},
		"a nested form":         {`{"url": "http://127.0.0.1", "data": {"a": {"b": 1}}}`, `[rest_executor] data.a: must be a scalar or a list of scalars`},
		"too many retries":      {`{"url": "http://127.0.0.1", "retries": 11}`, `[rest_executor] retries must be from 0 to 10`},
		"no time at all":        {`{"url": "http://127.0.0.1", "timeout": 0}`, `[rest_executor] timeout must be a number of seconds above 0`},
		"a wrong type":          {`{"url": "http://127.0.0.1", "auth": {"token": ["hunter2"]}}`, `[rest_executor] auth.token must not be a array`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, row.inputs)
			if err == nil || err.Error() != row.want || !executors.IsPermanent(err) {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

func TestRetriesOnlyWhenAsked(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if calls.Add(1)%3 != 0 || string(body) != `"x"` {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	for name, row := range map[string]struct {
		retries, wantCalls, wantStatus int
	}{
		"none by default":    {0, 1, 503},
		"as many as needed":  {5, 3, 200},
		"no more than given": {1, 2, 503},
	} {
		t.Run(name, func(t *testing.T) {
			calls.Store(0)
			got, err := run(t, object{"url": server.URL, "method": "POST", "json": "x", "retries": row.retries})
			if err != nil || got.StatusCode != row.wantStatus || int(calls.Load()) != row.wantCalls {
				t.Errorf("got %+v, %v after %d calls, want %d after %d", got, err, calls.Load(), row.wantStatus, row.wantCalls)
			}
		})
	}
}

func TestFailOnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
	}))
	defer server.Close()
	for code, permanent := range map[int]bool{400: true, 404: true, 408: false, 429: false, 500: false, 503: false} {
		_, err := run(t, object{"url": fmt.Sprintf("%s/%d", server.URL, code), "fail_on_error": true})
		want := fmt.Sprintf("GET %s/%d: status %d %s", server.URL, code, code, http.StatusText(code))
		if err == nil || err.Error() != want || executors.IsPermanent(err) != permanent {
			t.Errorf("got %v (permanent: %v), want %s (%v)", err, executors.IsPermanent(err), want, permanent)
		}
	}
}

// hanging answers nothing, in the way that its path says, until it is closed.
func hanging(t *testing.T) (*httptest.Server, <-chan struct{}) {
	began, over := make(chan struct{}, 100), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			fmt.Fprint(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		began <- struct{}{}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(over); s.Close() })
	return s, began
}

func TestTimeoutCoversEverything(t *testing.T) {
	server, _ := hanging(t)
	for _, path := range []string{"/headers", "/body"} {
		_, err := run(t, object{"url": server.URL + path, "timeout": 0.2})
		if want := "GET " + server.URL + path + ": timeout after 0.2 seconds"; err == nil || err.Error() != want || executors.IsPermanent(err) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestCancelEndsTheRequest(t *testing.T) {
	server, began := hanging(t)
	for _, path := range []string{"/headers", "/body"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-began
			cancel(executors.ErrCancelled)
		}()
		call, _ := conformance.Call(t, object{"url": server.URL + path})
		if _, err := newExecutor(t, rest.Config{}).Run(ctx, call); !errors.Is(err, executors.ErrCancelled) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			if _, err := w.Write([]byte(strings.Repeat("1", 10_000))); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	call, _ := conformance.Call(t, object{"url": server.URL})
	got, err := newExecutor(t, rest.Config{MaxBodyBytes: 1000}).Run(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if r := got.Value().(*rest.Result); len(r.Body) != 1000 || !r.Truncated || r.JSON != nil || !slices.Equal(r.TruncatedFields, []string{"body", "json"}) {
		t.Errorf("got %d bytes, truncated %v, json %s", len(r.Body), r.Truncated, r.JSON)
	}
}

func TestCertificatesAreCheckedUnlessToldNotTo(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	if _, err := run(t, object{"url": server.URL}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	if got, err := run(t, object{"url": server.URL, "verify": false}); err != nil || !got.Success {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSecretsShowNowhere(t *testing.T) {
	refused := httptest.NewServer(nil)
	refused.Close()
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "ftp://x/?"+r.URL.RawQuery)
		w.WriteHeader(http.StatusFound)
	}))
	defer moved.Close()
	for name, inputs := range map[string]object{
		"password within the URL": {"url": strings.Replace(refused.URL, "://", "://me:hunter2@", 1)},
		"token within the URL":    {"url": strings.Replace(refused.URL, "://", "://hunter2@", 1)},
		"api key":                 {"url": refused.URL, "auth": object{"type": "apikey", "key": "k", "value": "hunter2", "location": "query"}},
		"short api key":           {"url": refused.URL, "auth": object{"type": "apikey", "key": "hunter", "value": "2", "location": "query"}},
		"api key in a redirect":   {"url": moved.URL, "auth": object{"type": "apikey", "key": "k", "value": "hunter2", "location": "query"}},
		"redirect not followed":   {"url": moved.URL, "follow_redirects": false, "auth": object{"type": "apikey", "key": "k", "value": "hunter2", "location": "query"}},
		"bearer":                  {"url": refused.URL, "auth": object{"type": "bearer", "token": "hunter2"}},
		"a token that can't be":   {"url": refused.URL, "auth": object{"type": "bearer", "token": "hunter2\n"}},
		"a query's value":         {"url": refused.URL + "/?a=1&sig=hunter2&b"},
		"a query's value, params": {"url": refused.URL, "params": object{"sig": "hunter2"}},
		"a redirect's query":      {"url": moved.URL + "/?sig=hunter2"},
		"timeout":                 {"url": refused.URL, "timeout": 1e-9, "auth": object{"type": "apikey", "key": "k", "value": "hunter2", "location": "query"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(t, inputs)
			result, _ := json.Marshal(got)
			if text := fmt.Sprintf("%v %s", err, result); strings.Contains(text, "hunter2") || strings.Contains(text, "hunter=2") {
				t.Errorf("a secret shows: %s", text)
			}
		})
	}
}

// Services invent names for the headers that carry their credentials.
func TestOnlyHarmlessHeadersFollowARedirectToAnotherOrigin(t *testing.T) {
	var got []http.Header
	keep := func(r *http.Request) { got = append(got, r.Header.Clone()) }
	var first *httptest.Server
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keep(r)
		if r.URL.Path == "/back" {
			http.Redirect(w, r, first.URL+"/end", http.StatusTemporaryRedirect)
		}
	}))
	defer other.Close()
	first = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		case "/end":
			keep(r)
		default:
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}
	}))
	defer first.Close()
	headers := object{"X-Api-Key": "hunter2", "PRIVATE-TOKEN": "hunter2", "Authorization": "hunter2", "Cookie": "a=hunter2",
		"Accept": "text/plain", "Content-Type": "text/x"}
	for path, secret := range map[string]bool{"/same": true, "/away": false, "/back": false} {
		got = nil
		if _, err := run(t, object{"url": first.URL + path, "method": "POST", "json": 1, "headers": headers}); err != nil || len(got) == 0 {
			t.Fatalf("%s: got %v, %v", path, got, err)
		}
		for _, h := range got {
			if shows := strings.Contains(fmt.Sprint(h), "hunter2"); shows != secret {
				t.Errorf("%s: got %v, want the credentials: %v", path, h, secret)
			}
			if h.Get("Accept") != "text/plain" || h.Get("Content-Type") != "text/x" || h.Get("Idempotency-Key") != "key-1" {
				t.Errorf("%s: harmless headers were lost: %v", path, h)
			}
		}
	}
}
