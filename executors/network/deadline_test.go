package network_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/network"
)

// TestContextsEndBeforeTheirConnections: when a dial fails because its context's deadline has come, the context has ended, although a
// connection has a timer of its own, which may go first. Otherwise an attempt that was cancelled would seem to have no connection.
func TestContextsEndBeforeTheirConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	n := network.New(network.Config{Guard: network.Guard{Loopback: true}})
	defer n.Close()
	dialer, failed := n.Pool("p"), 0
	for i := range 3000 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%300)*time.Microsecond)
		conn, err := dialer.DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			conn.Close()
		} else if failed++; ctx.Err() == nil {
			t.Errorf("try %d: %v, and the context goes on", i, err)
		}
		cancel()
	}
	if failed == 0 {
		t.Error("no dial ran out of time")
	}
}
