package ssh_test

import (
	"net"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/ssh"
)

// local is a network that goes to loopback, as the servers of tests are there.
var local = network.New(network.Config{Guard: network.Guard{Loopback: true}})

// newExecutor makes one that ends with the test.
func newExecutor(t *testing.T, cfg ssh.Config) *ssh.Executor {
	t.Helper()
	if cfg.Grace == 0 {
		cfg.Grace = 200 * time.Millisecond
	}
	e := ssh.New(cfg, local)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// silent is the port of a server that accepts connections and says nothing.
func silent(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}
