package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/credential/certtest"
)

// probed serves /ready and /health as a process does, and tells its address.
func probed(t *testing.T, ready *bool) string {
	t.Helper()
	server := httptest.NewServer(probes(ready))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func probes(ready *bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" && !*ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

// vacant is an address where nothing listens.
func vacant(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody connected
	return l.Addr().String()
}

func TestHealthAsksWhoRunsHere(t *testing.T) {
	ready, not := true, false
	up, down, none := probed(t, &ready), probed(t, &not), vacant(t)
	_, port, _ := net.SplitHostPort(up)
	for _, c := range []struct {
		fact                string
		coordinator, worker string
		args                []string
		code                int
		says                string
	}{
		{"a coordinator that is ready", up, none, nil, 0, "coordinator at " + up},
		{"a worker that is ready", none, up, nil, 0, "worker at " + up},
		{"all addresses of a machine", "0.0.0.0:" + port, none, nil, 0, "coordinator"},
		{"a worker without an address", up, "off", nil, 0, "coordinator"},
		{"one that is not", down, none, nil, 1, "503"},
		{"one of two is not", up, down, nil, 1, "worker at " + down},
		{"one that is not, but lives", down, none, []string{"--live"}, 0, "coordinator"},
		{"nobody", none, none, nil, 1, "nothing listens"},
		{"the other one", up, none, []string{"worker"}, 1, "nothing listens"},
		{"an address that was given by a flag", none, none, []string{"--http-addr", up}, 0, up},
		{"an address that can't be", up, none, []string{"--http-addr", "here"}, 2, "--http-addr here"},
		{"a worker whose port nobody knows", up, "127.0.0.1:0", []string{"worker"}, 2, "TASKGROVE_WORKER_HTTP_ADDR"},
		{"a kind that there is not", up, none, []string{"clerk"}, 2, "clerk"},
		{"a setting that is wrong", "8000", none, nil, 2, "TASKGROVE_HTTP_ADDR=8000"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			t.Setenv("TASKGROVE_HTTP_ADDR", c.coordinator)
			t.Setenv("TASKGROVE_WORKER_HTTP_ADDR", c.worker)
			out, notes, code := runCommand(t, append([]string{"health"}, c.args...)...)
			if code != c.code || !strings.Contains(out+notes, c.says) {
				t.Errorf("got %d, %s%s", code, out, notes)
			}
		})
	}
}

func TestHealthSpeaksTLS(t *testing.T) {
	ready := true
	authority := certtest.New(t, "ours")
	certFile, keyFile := authority.Pair(t, "grove.example")
	for _, mutual := range []bool{false, true} {
		server := httptest.NewUnstartedServer(probes(&ready))
		server.TLS = authority.Client(t, "grove.example")
		if server.TLS.ClientCAs = server.TLS.RootCAs; mutual {
			server.TLS.ClientAuth = 4 // require and verify
		}
		server.StartTLS()
		t.Setenv("TASKGROVE_HTTP_ADDR", server.Listener.Addr().String())
		t.Setenv("TASKGROVE_LISTEN_TLS_CERT_FILE", certFile)
		t.Setenv("TASKGROVE_LISTEN_TLS_KEY_FILE", keyFile)
		if out, notes, code := runCommand(t, "health"); code != 0 {
			t.Errorf("mutual %v: got %d, %s%s", mutual, code, out, notes)
		}
		if _, notes, code := func() (string, string, int) {
			t.Setenv("TASKGROVE_HTTP_TLS", "false")
			defer os.Unsetenv("TASKGROVE_HTTP_TLS") //nolint:errcheck // Setenv of the test puts it back
			return runCommand(t, "health")
		}(); code != 1 {
			t.Errorf("plain text to TLS: got %d, %s", code, notes)
		}
		server.Close()
	}
}
