package network

import (
	"net/netip"
	"strings"
	"testing"
)

// prefixes are ranges that a test writes down.
func prefixes(list ...string) []netip.Prefix {
	all, err := ParsePrefixes(strings.Join(list, ","))
	if err != nil {
		panic(err)
	}
	return all
}

func TestGuardJudgesAddresses(t *testing.T) {
	strict := Guard{DenyPrivate: true}
	tuned := Guard{Allow: prefixes("10.1.0.0/16", "169.254.169.254/32"), Deny: prefixes("192.0.2.0/24", "10.0.0.0/8")}
	for name, row := range map[string]struct {
		guard Guard
		addr  string
		ok    bool
	}{
		"public":                              {Guard{}, "93.184.216.34", true},
		"public, IPv6":                        {Guard{}, "2606:2800:220:1::1", true},
		"loopback":                            {Guard{}, "127.0.0.1", false},
		"loopback, IPv6":                      {Guard{}, "::1", false},
		"loopback, allowed":                   {Guard{Allow: prefixes("127.0.0.0/8")}, "127.9.9.9", true},
		"open: loopback":                      {Guard{Loopback: true}, "127.0.0.1", true},
		"open: loopback, mapped":              {Guard{Loopback: true}, "::ffff:127.0.0.1", true},
		"open: cloud metadata":                {Guard{Loopback: true}, "169.254.169.254", false},
		"pods' identities, AWS by IPv6":       {Guard{}, "fd00:ec2::23", false},
		"cloud metadata, Google by IPv6":      {Guard{}, "fd20:ce::254", false},
		"denied as a mapped range":            {Guard{Deny: prefixes("::ffff:192.0.2.0/120")}.clean(), "192.0.2.9", false},
		"strict: site-local":                  {strict, "fec0::1", false},
		"private":                             {Guard{}, "10.0.0.1", true},
		"cloud metadata":                      {Guard{}, "169.254.169.254", false},
		"cloud metadata, mapped":              {Guard{}, "::ffff:169.254.169.254", false},
		"cloud metadata, NAT64":               {Guard{}, "64:ff9b::a9fe:a9fe", false},
		"cloud metadata, 6to4":                {Guard{}, "2002:a9fe:a9fe::1", false},
		"local NAT64, of whatever":            {Guard{}, "64:ff9b:1:a9fe:a9:fe00::", false},
		"local NAT64, of public":              {Guard{}, "64:ff9b:1::5db8:d822", false},
		"Teredo":                              {Guard{}, "2001:0:a9fe:a9fe::1", false},
		"cloud metadata, translated":          {Guard{}, "::ffff:0:169.254.169.254", false},
		"public, translated":                  {Guard{}, "::ffff:0:93.184.216.34", true},
		"strict: loopback, translated":        {strict, "::ffff:0:127.0.0.1", false},
		"cloud metadata, AWS by IPv6":         {Guard{}, "fd00:ec2::254", false},
		"link-local, IPv6, with zone":         {Guard{}, "fe80::1%eth0", false},
		"unspecified":                         {Guard{}, "0.0.0.0", false},
		"unspecified, IPv6":                   {Guard{}, "::", false},
		"multicast":                           {Guard{}, "224.0.0.1", false},
		"multicast, IPv6":                     {Guard{}, "ff02::1", false},
		"broadcast":                           {Guard{}, "255.255.255.255", false},
		"strict: public":                      {strict, "93.184.216.34", true},
		"strict: loopback":                    {strict, "127.8.8.8", false},
		"strict: loopback, IPv6":              {strict, "::1", false},
		"strict: loopback, mapped":            {strict, "::ffff:127.0.0.1", false},
		"strict: private":                     {strict, "172.20.0.1", false},
		"strict: shared":                      {strict, "100.64.0.1", false},
		"strict: unique local":                {strict, "fd12::1", false},
		"denied":                              {tuned, "192.0.2.1", false},
		"denied in a range that is":           {tuned, "10.2.0.1", false},
		"allowed within what is denied":       {tuned, "10.1.0.1", true},
		"allowed though it is cloud metadata": {tuned, "169.254.169.254", true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := row.guard.check(netip.MustParseAddr(row.addr)); (err == nil) != row.ok {
				t.Errorf("got %v, want allowed: %v", err, row.ok)
			}
		})
	}
}

// TestRefusalsSayWhatOpens: the rule, and the setting behind it if there is one.
func TestRefusalsSayWhatOpens(t *testing.T) {
	for addr, row := range map[string]struct {
		guard Guard
		want  string
	}{
		"127.0.0.1":       {Guard{}, "it is the worker's own host, which TASKGROVE_ADDRESS_LOOPBACK=true opens to tasks"},
		"127.0.0.2":       {Guard{DenyPrivate: true}, "TASKGROVE_ADDRESS_DENY_PRIVATE closes private networks to tasks"},
		"10.0.0.1":        {Guard{DenyPrivate: true}, "TASKGROVE_ADDRESS_DENY_PRIVATE closes private networks to tasks"},
		"192.0.2.1":       {Guard{Deny: prefixes("192.0.2.0/24")}, "TASKGROVE_ADDRESS_DENY closes it to tasks"},
		"169.254.1.1":     {Guard{}, "link-local, multicast and metadata addresses are closed to tasks"},
		"64:ff9b::7f00:1": {Guard{}, "it stands for another, and address 127.0.0.1 is not allowed: it is the worker's own host, which TASKGROVE_ADDRESS_LOOPBACK=true opens to tasks"},
	} {
		if err := row.guard.check(netip.MustParseAddr(addr)); err == nil || err.Error() != "address "+addr+" is not allowed: "+row.want {
			t.Errorf("got  %v\nwant %s", err, row.want)
		}
	}
}

func TestParsePrefixes(t *testing.T) {
	got, err := ParsePrefixes(" 10.0.0.7/8, 192.0.2.7,,fe80::/10")
	if err != nil || len(got) != 3 || got[0].String() != "10.0.0.0/8" || got[1].String() != "192.0.2.7/32" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParsePrefixes("10.0.0.0/8,nonsense"); err == nil || err.Error() != `"nonsense" is neither an address nor a CIDR range` {
		t.Errorf("got %v", err)
	}
}
