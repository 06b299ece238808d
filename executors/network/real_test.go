package network_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

// program finds one of Debian's, or ends the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s is installed, and CI has it: see tools/need.sh", name)
		}
		t.Skipf("no %s is installed: apt-get install %s", name, name)
	}
	return path
}

// listening starts a program that listens on a port of loopback, and ends it with the test.
func listening(t *testing.T, port int, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

// realProxies starts Debian's tinyproxy and microsocks, which want a user and password.
func realProxies(t *testing.T) map[string]string {
	tinyproxy, microsocks := program(t, "tinyproxy"), program(t, "microsocks")
	port, socks := porttest.Port(t), porttest.Port(t)
	conf := filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 60\nBasicAuth ann hunter2\nMaxClients 100\nLogFile \"%s.log\"\n", port, conf)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	listening(t, port, tinyproxy, "-d", "-c", conf)
	listening(t, socks, microsocks, "-i", "127.0.0.1", "-p", fmt.Sprint(socks), "-u", "ann", "-P", "hunter2")
	return map[string]string{"http": fmt.Sprintf("127.0.0.1:%d", port), "socks5": fmt.Sprintf("127.0.0.1:%d", socks)}
}

// named is a server that this machine's name leads to, as names of loopback don't go to proxies.
func named(t *testing.T, secure bool) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := net.LookupHost(host)
	if err != nil {
		t.Skipf("the name of this machine, %s, stands for nothing: %v", host, err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(addresses[0], "0"))
	if err != nil {
		t.Skipf("the name of this machine, %s, stands for another: %v", host, err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello "+r.Header.Get("X-Secret")) }))
	_ = s.Listener.Close()
	s.Listener = l
	scheme := "http"
	if secure {
		scheme = "https"
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return fmt.Sprintf("%s://%s:%d", scheme, host, l.Addr().(*net.TCPAddr).Port)
}

// TestRealProxies: both kinds take requests, tunnels and credentials, refuse wrong ones for good, and say what may pass.
func TestRealProxies(t *testing.T) {
	plain, secure := named(t, false), named(t, true)
	for scheme, at := range realProxies(t) {
		good := behind(t, network.Outlet{Proxy: scheme + "://ann:hunter2@" + at}, network.Guard{})
		bad := behind(t, network.Outlet{Proxy: scheme + "://ann:wrong-word@" + at}, network.Guard{})
		for _, url := range []string{plain, secure} {
			if body, err := get(t, good, url, ""); err != nil || body != "hello " {
				t.Errorf("%s: %s: got %q, %v", scheme, url, body, err)
			}
		}
		address := strings.TrimPrefix(secure, "https://")
		if err := dial(t, bad, "tcp", address); !executors.IsPermanent(err) || strings.Contains(err.Error(), "wrong-word") {
			t.Errorf("%s: wrong credentials: got %v, want a permanent error", scheme, err)
		}
		gone := fmt.Sprintf("%s:%d", address[:strings.LastIndexByte(address, ':')], porttest.Port(t))
		if err := dial(t, good, "tcp", gone); err == nil || executors.IsPermanent(err) {
			t.Errorf("%s: nobody listens there: got %v, want an error that may pass", scheme, err)
		}
		if err := dial(t, good, "tcp", "no-such.taskgrove.invalid:443"); err == nil || executors.IsPermanent(err) {
			t.Errorf("%s: no such host: got %v, want an error that may pass", scheme, err)
		}
	}
}
