package networktest

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Canary is an HTTP server on the loopback addresses 127.0.0.1 and ::1, with one port, and on a unix socket. It notices whoever connects.
type Canary struct {
	Port   int
	Socket string // path

	reached atomic.Int64
}

// StartCanary starts one.
func StartCanary(t testing.TB) *Canary {
	c := &Canary{Socket: filepath.Join(t.TempDir(), "s")}
	four, six := twins(t)
	c.Port = four.Addr().(*net.TCPAddr).Port
	unix, err := net.Listen("unix", c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ //nolint:gosec // ends with the test
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "canary") }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				c.reached.Add(1)
			}
		},
	}
	var done sync.WaitGroup
	for _, l := range []net.Listener{four, six, unix} {
		if l != nil {
			done.Go(func() { _ = server.Serve(l) })
		}
	}
	t.Cleanup(func() { _ = server.Close(); done.Wait() })
	return c
}

// twins listen on one port of both addresses; six is nil where there is no IPv6.
func twins(t testing.TB) (four, six net.Listener) {
	for range 100 {
		four, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		six, err = net.Listen("tcp6", fmt.Sprintf("[::1]:%d", four.Addr().(*net.TCPAddr).Port))
		if err == nil {
			return four, six
		}
		if probe, err := net.Listen("tcp6", "[::1]:0"); err != nil {
			return four, nil
		} else {
			_ = probe.Close()
		}
		_ = four.Close() // the port is taken at ::1
	}
	t.Fatal("no port is free on both addresses")
	return nil, nil
}

// Reached is how many connections came since it was last asked.
func (c *Canary) Reached() int { return int(c.reached.Swap(0)) }
