// Package addresses owns what kinds of network addresses there are: public ones, those of private networks and of the machine itself, and those that
// nobody has a reason to be sent to, and how ranges are written. It must not know who may go where.
package addresses

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParsePrefixes reads addresses and CIDR ranges separated by commas: "10.0.0.0/8, 192.0.2.7".
func ParsePrefixes(list string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if addr, err := netip.ParseAddr(text); err == nil {
			prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a CIDR range", text)
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, text := range list {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

var (
	// Metadata services outside the link-local ranges: AWS over IPv6 and its pods' identities, Google's, Scaleway's, Alibaba's,
	// Azure's host, Oracle's.
	// The last two translate to IPv4 in a way that only the network knows: local-use NAT64 (RFC 8215) and Teredo (RFC 4380).
	never = prefixes("0.0.0.0/8", "::/128", "169.254.0.0/16", "fe80::/10", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32",
		"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "fd00:42::42/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
		"64:ff9b:1::/48", "2001::/32")
	loopback = prefixes("127.0.0.0/8", "::1/128")
	private  = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"fc00::/7", "fec0::/10", "192.0.0.0/24", "198.18.0.0/15")
	// IPv6 ranges that contain an IPv4 address, beginning at this byte.
	carriers = []struct {
		prefix netip.Prefix
		at     int
	}{
		{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64, RFC 6052
		{netip.MustParsePrefix("2002::/16"), 2},        // 6to4, RFC 3056
		{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible, RFC 4291
		{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated, RFC 2765
	}
)

// Never reports an address that nobody has a reason to be sent to: link-local, cloud metadata, multicast, broadcast, unspecified.
func Never(addr netip.Addr) bool { return Within(never, addr) }

// Loopback reports an address of the machine itself.
func Loopback(addr netip.Addr) bool { return Within(loopback, addr) }

// Private reports an address of a private network (RFC 1918, 4193, 6598).
func Private(addr netip.Addr) bool { return Within(private, addr) }

// Inner is the IPv4 address that an IPv6 one stands for, and whether it does.
func Inner(addr netip.Addr) (inner netip.Addr, ok bool) {
	for _, c := range carriers {
		if c.prefix.Contains(addr) && addr != netip.IPv6Loopback() {
			inner, _ := netip.AddrFromSlice(addr.AsSlice()[c.at : c.at+4])
			return inner, true
		}
	}
	return netip.Addr{}, false
}

// Public reports an address of the public network, also of what it stands for.
func Public(addr netip.Addr) bool {
	if inner, ok := Inner(addr); ok && !Public(inner) {
		return false
	}
	return !Never(addr) && !Loopback(addr) && !Private(addr)
}

// Plain is an address in the form in which addresses are compared.
func Plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// Within reports whether an address is in one of the ranges.
func Within(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
