// Package porttest gives tests ports for servers that are programs of their own.
//
// It owns how a port stays the test's: from when it was chosen until the test ends, whether its server runs, is down, or was never
// started. It must not know what the servers are.
package porttest

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// Hold chooses a port of 127.0.0.1 on which nobody listens, and keeps it until release is called: no other process gets it for a server or
// for a connection of its own, and who connects to it is refused, until a server that was told this very port listens there. Servers
// do that with SO_REUSEADDR, as all the usual ones do, as often as they like. On other systems than Linux nothing keeps the port.
func Hold() (port int, release func(), err error) {
	port, free, err := hold()
	return port, sync.OnceFunc(free), err
}

// Port holds a port until the test has ended.
func Port(t testing.TB) int {
	t.Helper()
	port, release, err := Hold()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

// Address holds a port until the test has ended, and gives it with the host before it.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
}
