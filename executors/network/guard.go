package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// Guard says which addresses connections may go to. It checks the address that is really dialled, for every connection, so
// neither a redirect nor a name that resolves differently the second time gets past it. Its zero value refuses addresses
// that no task has a reason to reach: link-local, cloud metadata, multicast, broadcast and unspecified ones.
type Guard struct {
	// Allow wins over all other rules.
	Allow []netip.Prefix
	// Deny is refused in addition.
	Deny []netip.Prefix
	// DenyPrivate also refuses private networks (RFC 1918, 4193, 6598), for workers whose users must not reach
	// the worker's own network.
	DenyPrivate bool
	// Loopback allows loopback addresses and unix sockets, which are refused otherwise.
	Loopback bool
}

// clean is g with IPv4 ranges that are written as IPv6 ones (::ffff:10.0.0.0/104) in the form in which addresses are compared.
func (g Guard) clean() Guard {
	unmapped := func(list []netip.Prefix) []netip.Prefix {
		list = slices.Clone(list)
		for i, p := range list {
			if p.Addr().Is4In6() && p.Bits() >= 96 {
				list[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
		}
		return list
	}
	g.Allow, g.Deny = unmapped(g.Allow), unmapped(g.Deny)
	return g
}

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

// addressError reports an address that the guard refuses.
type addressError struct {
	addr netip.Addr
	why  string
}

func (e *addressError) Error() string {
	return fmt.Sprintf("address %s is not allowed: %s", e.addr, e.why)
}

// control is called by [net.Dialer] for each address before it connects.
func (g *Guard) control(network, address string, _ syscall.RawConn) error {
	if strings.HasPrefix(network, "unix") {
		if !g.Loopback {
			return executors.Permanent(fmt.Errorf("unix socket %s is not allowed: it is of the worker's own host, which TASKGROVE_ADDRESS_LOOPBACK=true opens to tasks", address))
		}
		return nil
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return executors.Permanent(fmt.Errorf("address %s can't be read", address))
	}
	return g.check(ap.Addr())
}

func (g *Guard) check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	switch {
	case within(g.Allow, addr):
		return nil
	case within(never, addr):
		return executors.Permanent(&addressError{addr, "link-local, multicast and metadata addresses are closed to tasks"})
	case within(g.Deny, addr):
		return executors.Permanent(&addressError{addr, "TASKGROVE_ADDRESS_DENY closes it to tasks"})
	case g.DenyPrivate && within(private, addr), g.DenyPrivate && !g.Loopback && within(loopback, addr):
		return executors.Permanent(&addressError{addr, "TASKGROVE_ADDRESS_DENY_PRIVATE closes private networks to tasks"})
	case !g.Loopback && within(loopback, addr):
		return executors.Permanent(&addressError{addr, "it is the worker's own host, which TASKGROVE_ADDRESS_LOOPBACK=true opens to tasks"})
	}
	for _, c := range carriers {
		if c.prefix.Contains(addr) && addr != netip.IPv6Loopback() {
			inner, _ := netip.AddrFromSlice(addr.AsSlice()[c.at : c.at+4])
			if err := g.check(inner); err != nil {
				return executors.Permanent(&addressError{addr, fmt.Sprintf("it stands for another, and %v", err)})
			}
		}
	}
	return nil
}

func within(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
