package network_test

import (
	"net"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

func TestLoopbackIsForConnectionsOnly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := network.New(network.Config{}).Pool("p")
	if _, err := d.DialContext(t.Context(), "tcp", l.Addr().String()); !executors.IsPermanent(err) {
		t.Errorf("got %v, want a permanent refusal", err)
	}
	c, err := d.Trusted().DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("trusted: %v", err)
	}
	c.Close()
}
