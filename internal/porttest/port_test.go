package porttest_test

import (
	"errors"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

func TestAHeldPortIsItsServersAlone(t *testing.T) {
	address := porttest.Address(t)
	for range 2 { // a server may come back
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: got %v, %v", c, err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("the port's own server can't listen: %v", err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = l.Close()
	}
}

// TestNobodyGetsAHeldPort takes all ports that there are for outgoing connections and for servers of any port.
func TestNobodyGetsAHeldPort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: nothing keeps a port on this system")
	}
	held := map[string]bool{}
	for range 300 {
		port, release, err := porttest.Hold()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		name := strconv.Itoa(port)
		if held[name] {
			t.Fatalf("port %s was given twice", name)
		}
		held[name] = true
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	for range 2000 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		other, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []net.Addr{c.LocalAddr(), other.Addr()} {
			if _, port, _ := net.SplitHostPort(a.String()); held[port] {
				t.Fatalf("somebody got the held port %s", port)
			}
		}
		_ = c.Close()
		_ = other.Close()
	}
}
