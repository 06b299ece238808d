package identity

import (
	"crypto/x509"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Machine says who machines are by their certificates. Just one of URI, DNS and CommonName is given.
type Machine struct {
	URI        string // of a subject alternative name; one that ends with /* is all below it
	DNS        string // of a subject alternative name; one that begins with *. is each name of one more label
	CommonName string // of the subject; compared as it is
	User       string // who it is; empty: the name of the certificate that was found
	Groups     []string
	Roles      []string // as in a token
}

// found is the name of the certificate that is meant; empty: none is.
func (m *Machine) found(cert *x509.Certificate) string {
	switch {
	case m.URI != "":
		for _, u := range cert.URIs {
			if within(u.String(), m.URI) {
				return u.String()
			}
		}
	case m.DNS != "":
		for _, name := range cert.DNSNames {
			name = strings.ToLower(name)
			label, domain, _ := strings.Cut(name, ".")
			if any, ok := strings.CutPrefix(m.DNS, "*."); name != "" && label != "*" && (name == m.DNS || ok && domain == any) {
				return name
			}
		}
	case m.CommonName != "" && cert.Subject.CommonName == m.CommonName:
		return m.CommonName
	}
	return ""
}

// within reports whether a URI is what is wanted, or below it.
func within(uri, want string) bool {
	below, all := strings.CutSuffix(want, "*")
	return uri == want || all && strings.HasPrefix(uri, below) && len(uri) > len(below)
}

// machine is whom the certificate of a connection names: the first row that fits. It was verified by the listener, else nobody is.
func (c *Callers) machine(given api.Credentials) (who coordinator.Caller, err error) {
	if !given.Certified() {
		return who, refuse(Malformed, "there is no token")
	}
	cert := given.TLS.VerifiedChains[0][0]
	for _, m := range c.machines {
		name := m.found(cert)
		if name == "" {
			continue
		}
		user := or(m.User, name)
		if !validUser(user) {
			return who, refuse(Certificate, "the name in its certificate can't be the id of a user")
		}
		who = coordinator.Caller{Name: user, User: user, Kind: coordinator.MachineCaller, Issuer: cert.Issuer.String(), Groups: m.Groups, Roles: RolesIn(m.Roles, nil)}
		return who, nil
	}
	return who, refuse(Certificate, "no row of machines fits its certificate")
}
