package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/addresses"
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
func ParsePrefixes(list string) ([]netip.Prefix, error) { return addresses.ParsePrefixes(list) }

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
	addr = addresses.Plain(addr)
	switch {
	case addresses.Within(g.Allow, addr):
		return nil
	case addresses.Never(addr):
		return executors.Permanent(&addressError{addr, "link-local, multicast and metadata addresses are closed to tasks"})
	case addresses.Within(g.Deny, addr):
		return executors.Permanent(&addressError{addr, "TASKGROVE_ADDRESS_DENY closes it to tasks"})
	case g.DenyPrivate && addresses.Private(addr), g.DenyPrivate && !g.Loopback && addresses.Loopback(addr):
		return executors.Permanent(&addressError{addr, "TASKGROVE_ADDRESS_DENY_PRIVATE closes private networks to tasks"})
	case !g.Loopback && addresses.Loopback(addr):
		return executors.Permanent(&addressError{addr, "it is the worker's own host, which TASKGROVE_ADDRESS_LOOPBACK=true opens to tasks"})
	}
	if inner, ok := addresses.Inner(addr); ok {
		if err := g.check(inner); err != nil {
			return executors.Permanent(&addressError{addr, fmt.Sprintf("it stands for another, and %v", err)})
		}
	}
	return nil
}
