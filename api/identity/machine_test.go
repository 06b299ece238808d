package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"testing"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/coordinator"
)

// certified is a connection whose certificate was verified, with a common name and alternative names: URIs have a scheme.
func certified(t *testing.T, cn string, names ...string) *tls.ConnectionState {
	t.Helper()
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: cn}, Issuer: pkix.Name{CommonName: "authority"}}
	for _, name := range names {
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if u.Scheme == "" {
			cert.DNSNames = append(cert.DNSNames, name)
		} else {
			cert.URIs = append(cert.URIs, u)
		}
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
}

func TestMachinesByCertificate(t *testing.T) {
	t.Parallel()
	callers := identity.NewCallers(nil, nil, []identity.Machine{
		{URI: "spiffe://grove.example/ci/*", Roles: []string{"submitter", "team-a:operator"}, Groups: []string{"machines"}},
		{URI: "spiffe://grove.example/backup", User: "backup", Roles: []string{"admin"}},
		{DNS: "*.workers.example", Roles: []string{"worker"}}, {DNS: "one.example"}, {CommonName: "old box", User: "box"},
	})
	for fact, tt := range map[string]struct {
		state *tls.ConnectionState
		user  string
		admin bool
	}{
		"a URI below":                       {certified(t, "", "spiffe://grove.example/ci/build"), "spiffe://grove.example/ci/build", false},
		"a URI that is the folder":          {certified(t, "", "spiffe://grove.example/ci/"), "", false},
		"a URI beside":                      {certified(t, "", "spiffe://grove.example/cix/build"), "", false},
		"another domain":                    {certified(t, "", "spiffe://evil.example/ci/build"), "", false},
		"a URI":                             {certified(t, "", "spiffe://grove.example/backup"), "backup", true},
		"a longer URI":                      {certified(t, "", "spiffe://grove.example/backup/x"), "", false},
		"a name of one more label":          {certified(t, "", "W1.workers.example"), "w1.workers.example", false},
		"of two":                            {certified(t, "", "a.b.workers.example"), "", false},
		"a wildcard's certificate":          {certified(t, "", "*.workers.example"), "", false},
		"a name":                            {certified(t, "", "other.example", "one.example"), "one.example", false},
		"a common name":                     {certified(t, "old box"), "box", false},
		"a common name in other letters":    {certified(t, "OLD BOX"), "", false},
		"a common name that is a DNS row's": {certified(t, "one.example"), "", false},
		"a DNS name that is a CN row's":     {certified(t, "", "old.box"), "", false},
	} {
		who, err := callers.Identify(t.Context(), api.Credentials{TLS: tt.state})
		if who.User != tt.user || isAdmin(who) != tt.admin || (err == nil) != (tt.user != "") || err == nil && who.Kind != coordinator.MachineCaller {
			t.Errorf("%s: got %+v, %v", fact, who, err)
		}
		if err != nil && reason(err) != identity.Certificate {
			t.Errorf("%s: got %v", fact, err)
		}
	}
	unverified := certified(t, "old box")
	unverified.VerifiedChains = nil
	if who, err := callers.Identify(t.Context(), api.Credentials{TLS: unverified}); err == nil {
		t.Errorf("a certificate that nobody verified: it is taken for %+v", who)
	}
}
