package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/mcp"
)

func readAll(resp *http.Response) string {
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

func open(ctx context.Context, t testing.TB, s mcp.Server) (*mcp.Session, *conformance.Recorder) {
	t.Helper()
	call, said := conformance.Call(t, object{})
	session, err := newExecutor(nil).Opener().Open(ctx, call, s)
	if err != nil {
		t.Fatal(err)
	}
	return session, said
}

func good() mcp.Server {
	return mcp.Server{Name: "my server", Transport: mcp.Stdio, Command: os.Args[:1], Env: map[string]string{serverMode: "good"}}
}

// TestSession is what an agent does with a server.
func TestSession(t *testing.T) {
	web := web(t)
	for _, server := range []mcp.Server{good(), {Name: "my server", Transport: mcp.HTTP, URL: web.URL + "/mcp"}} {
		s, said := open(t.Context(), t, server)
		all, err := s.Tools(t.Context())
		if err != nil || len(all) != tools {
			t.Fatalf("got %v, %v", all, err)
		}
		for _, tool := range all {
			if !regexp.MustCompile(`^my_server__[a-z_]+$`).MatchString(tool.Name) || !strings.HasPrefix(tool.Description, "does ") || string(tool.Schema) != `{"type":"object"}` {
				t.Errorf("got %+v", tool)
			}
		}
		var eight sync.WaitGroup
		for range 8 {
			eight.Go(func() {
				got, err := s.CallTool(t.Context(), "my_server__echo", json.RawMessage(`{"a":1}`))
				if err != nil || got.Failed || got.Text() != `{"a":1}` {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
		eight.Wait()
		if got, err := s.CallTool(t.Context(), "my_server__fail", nil); err != nil || !got.Failed || got.Text() != "out of coffee" {
			t.Errorf("got %+v, %v", got, err)
		}
		got, err := s.CallTool(t.Context(), "my_server__picture", nil)
		if err != nil || len(got.Parts) != 3 || string(got.Parts[0].Image) != "png" || got.Parts[0].MediaType != "image/png" || got.Text() != "inside\n[audio/wav, not shown]" {
			t.Errorf("got %+v, %v", got, err)
		}
		for name, arguments := range map[string]string{"echo": `{}`, "my_server__echo": `[1]`, "my_server__nothing": ``} {
			if _, err := s.CallTool(t.Context(), name, json.RawMessage(arguments)); !executors.IsPermanent(err) {
				t.Errorf("%s(%s): got %v", name, arguments, err)
			}
		}
		if _, err := s.CallTool(t.Context(), "my_server__progress", nil); err != nil || len(said.Fractions()) != 0 || !strings.Contains(strings.Join(said.Lines(), "\n"), "log: progress: step 2") {
			t.Errorf("a tool's progress is not the attempt's: got %v, %q, %v", said.Fractions(), said.Lines(), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.CallTool(t.Context(), "my_server__echo", nil); err == nil {
			t.Error("a closed session answers")
		}
	}
}

// TestACallHasAContextOfItsOwn: its end ends the call, and not the session.
func TestACallHasAContextOfItsOwn(t *testing.T) {
	s, said := open(t.Context(), t, good())
	defer s.Close()
	if _, err := s.Tools(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-said.Logged("stderr: slow begins")
		cancel(errors.New("too slow"))
	}()
	if _, err := s.CallTool(ctx, "my_server__slow", nil); err == nil || err.Error() != "too slow" {
		t.Errorf("got %v", err)
	}
	<-said.Logged("stderr: slow was cancelled")
	if got, err := s.CallTool(t.Context(), "my_server__echo", nil); err != nil || got.Text() != `{}` {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestASessionEndsWithItsContext also when nobody closes it.
func TestASessionEndsWithItsContext(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	s, _ := open(ctx, t, good())
	cancel()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("something is left")
		}
	}
	_ = s.Close()
}

// TestToolsHaveNamesOfTheirOwn, whatever the server calls them: a model's service refuses a request whose tools have the same name.
func TestToolsHaveNamesOfTheirOwn(t *testing.T) {
	s, _ := open(t.Context(), t, mcp.Server{Transport: mcp.Stdio, Command: os.Args[:1], Env: map[string]string{serverMode: "twins"}})
	defer s.Close()
	all, err := s.Tools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, tool := range all {
		if seen[tool.Name] || !regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`).MatchString(tool.Name) {
			t.Errorf("there is %q twice, or no model takes it", tool.Name)
		}
		seen[tool.Name] = true
	}
	if len(all) != 5 || !seen["a"] || !seen["a_b"] { // a, and four of like names; not the same again, and none without a name
		t.Errorf("got %+v", all)
	}
}
