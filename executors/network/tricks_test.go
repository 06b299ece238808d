package network_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/network/networktest"
)

// trick is a way to name an address that is not to be reached. PORT stands for the canary's.
type trick struct {
	address string
	works   bool // where loopback is open it reaches the canary: the trick is a real one
}

// tricks try to reach a canary on loopback. Names are those of the test's DNS server, which its attacker owns.
var tricks = map[string]trick{
	"address":                             {"127.0.0.1:PORT", true},
	"another address of loopback":         {"127.8.8.8:PORT", false},
	"IPv6":                                {"[::1]:PORT", true},
	"IPv6, written out":                   {"[0:0:0:0:0:0:0:1]:PORT", true},
	"IPv6 with a zone":                    {"[::1%lo]:PORT", false},
	"mapped":                              {"[::ffff:127.0.0.1]:PORT", true},
	"mapped, as hex":                      {"[::ffff:7f00:1]:PORT", true},
	"mapped, with a zone":                 {"[::ffff:127.0.0.1%lo]:PORT", false},
	"compatible":                          {"[::127.0.0.1]:PORT", false},
	"translated":                          {"[::ffff:0:127.0.0.1]:PORT", false},
	"NAT64":                               {"[64:ff9b::7f00:1]:PORT", false},
	"NAT64 of the network's own":          {"[64:ff9b:1::7f00:1]:PORT", false},
	"6to4":                                {"[2002:7f00:1::]:PORT", false},
	"Teredo":                              {"[2001:0:7f00:1::]:PORT", false},
	"unspecified":                         {"0.0.0.0:PORT", false},
	"unspecified, IPv6":                   {"[::]:PORT", false},
	"no host":                             {":PORT", false},
	"localhost":                           {"localhost:PORT", true},
	"localhost, as a root's name":         {"localhost.:PORT", true},
	"localhost, in capitals":              {"LOCALHOST:PORT", true},
	"a name":                              {"loop.attacker.test:PORT", true},
	"a name, IPv6":                        {"loop6.attacker.test:PORT", true},
	"a name, mapped":                      {"mapped.attacker.test:PORT", true},
	"an alias of a name":                  {"alias.attacker.test:PORT", true},
	"a name that also has a dead address": {"both.attacker.test:PORT", true},
	"decimal, which DNS knows":            {"2130706433:PORT", false},
	"hex, which DNS knows":                {"0x7f000001:PORT", true},
	"octal, which DNS knows":              {"017700000001:PORT", false},
	"octal parts, which DNS knows":        {"0177.0.0.1:PORT", false},
	"short, which DNS knows":              {"127.1:PORT", false},
	"wide digits, which DNS knows":        {"１２７.０.０.１:PORT", false},
	"wide dots":                           {"127。0。0。1:PORT", false},
	"percent-encoded":                     {"%31%32%37.0.0.1:PORT", false},
	"a dot at the end":                    {"127.0.0.1.:PORT", false},
	"spaces":                              {" 127.0.0.1:PORT", false},
	"port by name":                        {"127.0.0.1:http", false},
}

func trickDNS(t *testing.T) *networktest.DNS {
	dns := networktest.StartDNS(t)
	for _, name := range []string{"loop.attacker.test", "localhost", "2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "127.1", "127.0.0.1"} {
		dns.Set(name, []string{"127.0.0.1"})
	}
	dns.Set("loop6.attacker.test", []string{"::1"})
	dns.Set("mapped.attacker.test", []string{"::ffff:127.0.0.1"})
	dns.Set("both.attacker.test", []string{"127.0.0.1", "127.0.0.2"}) // nobody listens at the second
	dns.Alias("alias.attacker.test", "loop.attacker.test")
	return dns
}

// TestTricksDoNotGetPastTheDialer really dials. A refusal must be permanent, unless the trick fails by itself.
func TestTricksDoNotGetPastTheDialer(t *testing.T) {
	if len(tricks) < 20 {
		t.Fatalf("only %d tricks", len(tricks))
	}
	canary, dns := networktest.StartCanary(t), trickDNS(t)
	closed := network.New(network.Config{Resolver: dns.Resolver()}).Pool("p")
	open := network.New(network.Config{Resolver: dns.Resolver(), Guard: network.Guard{Loopback: true}}).Pool("p")
	for name, trick := range tricks {
		t.Run(name, func(t *testing.T) {
			address := at(trick.address, canary.Port)
			err := dial(t, closed, "tcp", address)
			if err == nil || canary.Reached() > 0 {
				t.Fatalf("%s was reached", address)
			}
			if trick.works && !executors.IsPermanent(err) {
				t.Errorf("%s: got %v, want a permanent refusal", address, err)
			}
			if !trick.works {
				return
			}
			if err := dial(t, open, "tcp", address); err != nil {
				t.Fatalf("the trick is none: %v", err)
			}
			for canary.Reached() == 0 { // the connection is there; the server learns of it a little later
				time.Sleep(time.Millisecond)
			}
		})
	}
}

func at(address string, port int) string {
	for i := range address {
		if address[i:] == "PORT" {
			return fmt.Sprintf("%s%d", address[:i], port)
		}
	}
	return address
}

func dial(t *testing.T, d *network.Dialer, kind, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, kind, address)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// TestLinkLocalIsNeverDialled: also by those who may go to loopback, and by connections.
func TestLinkLocalIsNeverDialled(t *testing.T) {
	dns := networktest.StartDNS(t)
	for _, name := range []string{"meta.attacker.test", "0xa9fea9fe"} {
		dns.Set(name, []string{"169.254.169.254"})
	}
	dns.Set("meta6.attacker.test", []string{"fe80::1", "fd00:ec2::254"})
	n := network.New(network.Config{Resolver: dns.Resolver(), Guard: network.Guard{Loopback: true}})
	for _, address := range []string{
		"169.254.169.254:80", "169.254.170.2:80", "[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80", "[2002:a9fe:a9fe::]:80",
		"[fe80::1%lo]:80", "[fd00:ec2::254]:80", "[fd20:ce::254]:80", "100.100.100.200:80", "168.63.129.16:80", "224.0.0.1:80",
		"255.255.255.255:80", "0.0.0.0:80", "[::]:80", "[ff02::1%lo]:80",
		"meta.attacker.test:80", "meta6.attacker.test:80", "0xa9fea9fe:80",
	} {
		for who, d := range map[string]*network.Dialer{"a task": n.Pool("p"), "a connection": n.Pool("p").Trusted()} {
			if err := dial(t, d, "tcp", address); !executors.IsPermanent(err) {
				t.Errorf("%s to %s: got %v, want a permanent refusal", who, address, err)
			}
		}
	}
}

// TestNameThatChangesItsMindIsJudgedAgain: what was looked up first, and may have been checked by somebody, does not count.
func TestNameThatChangesItsMindIsJudgedAgain(t *testing.T) {
	canary, dns := networktest.StartCanary(t), networktest.StartDNS(t)
	dns.Set("rebind.attacker.test", []string{"127.0.0.2"}, []string{"127.0.0.1"})
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", canary.Port))
	if err != nil {
		t.Skip("127.0.0.2 can't be listened on: ", err)
	}
	defer l.Close()
	allowed, _ := network.ParsePrefixes("127.0.0.2")
	d := network.New(network.Config{Resolver: dns.Resolver(), Guard: network.Guard{Allow: allowed}}).Pool("p")
	address := fmt.Sprintf("rebind.attacker.test:%d", canary.Port)
	if err := dial(t, d, "tcp", address); err != nil {
		t.Fatalf("the first time: %v", err)
	}
	if err := dial(t, d, "tcp", address); !executors.IsPermanent(err) || canary.Reached() > 0 {
		t.Errorf("the second time: got %v, want a permanent refusal", err)
	}
}

func TestUnixSocketsAreForConnectionsOnly(t *testing.T) {
	canary := networktest.StartCanary(t)
	d := network.New(network.Config{}).Pool("p")
	for _, socket := range []string{canary.Socket, "@/abstract", "/nowhere"} {
		if err := dial(t, d, "unix", socket); !executors.IsPermanent(err) || canary.Reached() > 0 {
			t.Errorf("%s: got %v, want a permanent refusal", socket, err)
		}
	}
	if err := dial(t, d.Trusted(), "unix", canary.Socket); err != nil {
		t.Errorf("trusted: %v", err)
	}
	for _, kind := range []string{"udp", "unixgram", "unixpacket", "ip4:icmp", ""} {
		if err := dial(t, d.Trusted(), kind, "127.0.0.1:9"); !executors.IsPermanent(err) {
			t.Errorf("%q: got %v, want a permanent refusal", kind, err)
		}
	}
}
