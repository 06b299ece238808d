package networktest

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a DNS server.
type DNS struct {
	conn net.PacketConn

	mu      sync.Mutex
	answers map[string][][]netip.Addr
	aliases map[string]string
	asked   map[string]int
}

// StartDNS starts one that knows no names.
func StartDNS(t testing.TB) *DNS {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &DNS{conn: conn, answers: map[string][][]netip.Addr{}, aliases: map[string]string{}, asked: map[string]int{}}
	var done sync.WaitGroup
	done.Go(d.serve)
	t.Cleanup(func() { _ = conn.Close(); done.Wait() })
	return d
}

// Set gives a name its addresses. With several lists, each look-up gets the next, and the last one stays: so a name changes its
// mind.
func (d *DNS) Set(name string, answers ...[]string) {
	var lists [][]netip.Addr
	for _, answer := range answers {
		var list []netip.Addr
		for _, text := range answer {
			list = append(list, netip.MustParseAddr(text))
		}
		lists = append(lists, list)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[strings.ToLower(name)+"."] = lists
}

// Alias makes a name stand for another.
func (d *DNS) Alias(name, of string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.aliases[name+"."] = of + "."
}

// Resolver asks this server alone.
func (d *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", d.conn.LocalAddr().String())
	}}
}

func (d *DNS) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := d.answer(buf[:n]); err == nil {
			_, _ = d.conn.WriteTo(answer, from)
		}
	}
}

func (d *DNS) answer(question []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(question)
	if err != nil {
		return nil, err
	}
	q, err := parser.Question()
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(q.Name.String())
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := q.Name
	if to := d.aliases[name]; to != "" {
		target := dnsmessage.MustNewName(to)
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.CNAMEResource{CNAME: target},
		})
		at, name = target, to
	}
	lists := d.answers[name]
	if lists == nil {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	if q.Type == dnsmessage.TypeA { // counted once for a look-up, which also asks for AAAA
		d.asked[name]++
	}
	for _, addr := range lists[min(max(d.asked[name], 1), len(lists))-1] {
		h := dnsmessage.ResourceHeader{Name: at, Class: dnsmessage.ClassINET}
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}})
		case !addr.Is4() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return m.Pack()
}
