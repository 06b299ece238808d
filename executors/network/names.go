package network

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"github.com/taskgrove/taskgrove/executors"
)

// Names by which machines know themselves, and the services that know their secrets. A name below one of them counts as it does.
var (
	loopbackNames = []string{"localhost", "localhost.localdomain", "localhost4", "localhost6", "localhost4.localdomain4", "localhost6.localdomain6",
		"ip6-localhost", "ip6-loopback", "loopback"}
	metadataNames = []string{"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
		"metadata.azure.internal", "metadata.tencentyun.com", "metadata.packet.net", "metadata.platformequinix.com"}
	// Endings that are in use for private networks: RFC 6762 with its appendix G, RFC 8375, ICANN's .internal.
	privateEndings = []string{"local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa"}
)

// spelling makes names alike that resolvers take for the same: capitals, wide digits and dots, soft hyphens (UTS 46).
var spelling = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false))

// nameError reports a name that the guard refuses.
type nameError struct{ name, why string }

func (e *nameError) Error() string {
	return fmt.Sprintf("host %.120q is not allowed: %s", e.name, e.why)
}

// target judges the host of host:port that a proxy is to look up, and returns it as the proxy is to see it.
func (g *Guard) target(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", executors.Permanent(fmt.Errorf("address: %w", err))
	}
	if number, err := net.LookupPort("tcp", port); err != nil || number == 0 {
		return "", executors.Permanent(&nameError{host, "it has no port"})
	}
	name, err := g.name(host)
	if err != nil {
		return "", executors.Permanent(err)
	}
	return net.JoinHostPort(name, port), nil
}

// name judges a host by its name, and returns it in plain spelling. What it stands for is the proxy's to find out, which may read it in another
// way than we do: so everything that looks like an address is refused unless it is written as addresses are.
func (g *Guard) name(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.WithZone("").String(), g.check(addr)
	}
	plain, err := spelling.ToASCII(host)
	if err != nil {
		return "", &nameError{host, "it is no host's name"}
	}
	plain = strings.TrimRight(strings.ToLower(plain), ".")
	if addr, err := netip.ParseAddr(plain); err == nil {
		return addr.String(), g.check(addr)
	}
	if why := unlikely(plain); why != "" {
		return "", &nameError{host, why}
	}
	labels := strings.Count(plain, ".") + 1
	switch {
	case endsIn(plain, loopbackNames) && g.check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) != nil:
		return "", &nameError{host, "it is a name of the machine itself"}
	case endsIn(plain, metadataNames) && g.check(netip.AddrFrom4([4]byte{169, 254, 169, 254})) != nil:
		return "", &nameError{host, "it is a metadata service"}
	case g.DenyPrivate && (labels == 1 || endsIn(plain, privateEndings)):
		return "", &nameError{host, "it is a name of a private network"}
	}
	return plain, nil
}

// unlikely says why a name can't be one of a host; empty: it can.
func unlikely(name string) string {
	if name == "" || len(name) > 253 || name[0] == '.' || strings.Contains(name, "..") {
		return "it is no host's name"
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return "it is no host's name"
		}
	}
	// No top-level domain begins with a digit, but the last part of 127.1, 0x7f.1, 017700000001 and 2130706433 does (inet_aton).
	if last := name[strings.LastIndexByte(name, '.')+1:]; last[0] >= '0' && last[0] <= '9' {
		return "it is an address in another notation"
	}
	return ""
}

// endsIn reports whether a name is one of the list or below one.
func endsIn(name string, list []string) bool {
	for _, end := range list {
		if below, ok := strings.CutSuffix(name, end); ok && (below == "" || strings.HasSuffix(below, ".")) {
			return true
		}
	}
	return false
}
