package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestOwnRoutesStandBesideTheCoordinators calls both at one address, and reads events as they come.
func TestOwnRoutesStandBesideTheCoordinators(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.HTTPAddr = "127.0.0.1:0" }})
	routes, err := newRoutes(c.Coordinators[0].P.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(routes)
	t.Cleanup(front.Close)

	if text := body(t, front.URL+"/hello", ""); !strings.Contains(text, "a route of our own") {
		t.Errorf("/hello: %s", text)
	}
	if text := body(t, front.URL+"/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.list"}`); !strings.Contains(text, `"result":[]`) {
		t.Errorf("/tasks: %s", text)
	}
	stream := `{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"use_streaming":true,"tasks":[{"id":"a","name":"a","schemas":{"method":"sleep_executor"},"inputs":{"seconds":600}}]}}`
	answer, err := http.Post(front.URL+"/tasks", "application/json", strings.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	// The task runs for long, so nothing but what is passed on at once can be read.
	if line, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"status":"started"`) {
		t.Errorf("stream: %v, %s", err, line)
	}
	if _, err := newRoutes("localhost"); err == nil {
		t.Error("an address without a host was taken")
	}
}

func body(t *testing.T, url, post string) string {
	t.Helper()
	method := http.MethodGet
	if post != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(post))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
