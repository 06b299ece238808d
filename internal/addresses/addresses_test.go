package addresses_test

import (
	"net/netip"
	"testing"

	"github.com/taskgrove/taskgrove/internal/addresses"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "64:ff9b::5db8:d822": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "100.64.0.1": false,
		"169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false, "::ffff:0:10.0.0.1": false, "fd00::1": false, "fe80::1%eth0": false,
		"0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false, "2001:0:a9fe:a9fe::1": false, "100.100.100.200": false,
	} {
		if got := addresses.Public(addresses.Plain(netip.MustParseAddr(text))); got != want {
			t.Errorf("%s: public: %v, want %v", text, got, want)
		}
	}
}
