package main

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/coordinator"
)

// watched is what a terminal has been sent.
type watched struct {
	mu   sync.Mutex
	text strings.Builder
}

func watch(from *os.File) *watched {
	w := &watched{}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			w.mu.Lock()
			w.text.Write(buf[:n])
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w
}

// next waits until the terminal is sent a text that comes after what was seen before, and gives where it ends.
func (w *watched) next(t *testing.T, after int, text string) int {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		w.mu.Lock()
		all := w.text.String()
		w.mu.Unlock()
		if i := strings.Index(all[after:], text); i >= 0 {
			return after + i + len(text)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Fatalf("the terminal was not sent %q after\n%q", text, w.text.String()[after:])
	return 0
}

func (w *watched) length() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Len()
}

func (w *watched) after(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()[n:]
}

// TestTopLive drives top on a terminal: keys choose, sort, filter, stop and end; it outlives the coordinator.
func TestTopLive(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	slave, keys := typed(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 140}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().String()
	t.Setenv("TASKGROVE_SERVER", at)
	svc := apitest.New()
	stop := serveAt(t, svc, listener)
	out := watch(keys)
	root := newRoot(new(bool))
	root.SetArgs([]string{"top", "--interval", "500ms"})
	root.SetIn(slave)
	root.SetOut(slave)
	root.SetErr(slave)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(t.Context()) }()
	press := func(text string) {
		if _, err := keys.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(want, without string) { // a whole screen, as only what changes is sent otherwise
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			n := out.length()
			press("\x0c")
			out.next(t, n, "coordinator")
			time.Sleep(50 * time.Millisecond) // for what follows; else the next round sees it
			screen := out.after(n)
			if strings.Contains(screen, want) && (without == "" || !strings.Contains(screen, without)) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the screen does not show %q, or %q:\n%q", want, without, screen)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	out.next(t, 0, "POOLS (1)")
	shows("COORDINATORS (1)", "")
	press("2")
	shows("WORKERS (1)", "POOLS (1)")
	press("/nobody")
	shows("WORKERS (0)", "")
	press("\x1b")
	time.Sleep(300 * time.Millisecond) // else it begins the next key
	shows("WORKERS (1)", "nobody")
	press("s")
	shows("IN LINE↓", "")
	press("r")
	shows("IN LINE↑", "")
	press("p")
	shows("stopped", "")
	press("p")
	press("?")
	shows("turn the order", "stopped")
	press("0")
	stop()
	shows("no coordinator answers; trying again", "")
	shows("POOLS (1)", "") // what it showed last stays
	if listener, err = net.Listen("tcp", at); err != nil {
		t.Skip("another has taken the port:", err)
	}
	defer serveAt(t, svc, listener)()
	shows("COORDINATORS (1)", "no coordinator answers")
	press("q")
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("top ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("q did not end top")
	}
}

// serveAt serves a service until the function is called.
func serveAt(t *testing.T, svc coordinator.Service, listener net.Listener) (stop func()) {
	t.Helper()
	server, err := grpcserver.Listen(coordinator.NewAccess(svc, coordinator.AllowAll), grpcserver.Config{Listener: listener})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	return func() {
		cancel()
		<-done
	}
}
