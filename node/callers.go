package node

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/api/signin"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// callersFile is what TASKGROVE_CALLERS_FILE says: whose tokens are believed, and who machines are by their certificates.
type callersFile struct {
	Issuers  []issuerOf  `file:"issuers"`
	Machines []machineOf `file:"machines"`
}

// issuerOf is who signs tokens. Its keys are in files, or where it publishes them: at a URL of keys, else where its discovery document says.
type issuerOf struct {
	Issuer     string        `file:"issuer,required"`
	Audience   []string      `file:"audience,required"`
	Algorithms []string      `file:"algorithms"`   // empty: HS256 with a secret, else all of those with two keys
	SecretFile string        `file:"secret_file"`  // of a secret
	PublicFile []string      `file:"public_files"` // of public keys in PEM
	KeysURL    string        `file:"jwks_url"`
	CAFile     string        `file:"ca_file"` // of authorities that are trusted besides the machine's, in PEM
	Refresh    time.Duration `file:"refresh"` // 0: 5 min
	Keep       time.Duration `file:"keep"`    // 0: 24 h
	Leeway     time.Duration `file:"leeway"`
	Claims     claimsOf      `file:"claims"`
	Login      *loginOf      `file:"login"` // nil: nobody signs in by a browser
}

type claimsOf struct {
	User        string              `file:"user"`
	Groups      string              `file:"groups"`
	Roles       string              `file:"roles"`
	Namespaces  string              `file:"namespaces"`
	UserPrefix  string              `file:"user_prefix"`
	GroupPrefix string              `file:"group_prefix"`
	GroupRoles  map[string][]string `file:"group_roles"`
}

// loginOf is how people sign in with a browser.
type loginOf struct {
	ClientID         string   `file:"client_id,required"`
	ClientSecretFile string   `file:"client_secret_file"` // empty: a public client
	Scopes           []string `file:"scopes"`             // empty: openid profile email
}

type machineOf struct {
	URI        string   `file:"uri"`
	DNS        string   `file:"dns"`
	CommonName string   `file:"cn"`
	User       string   `file:"user"`
	Groups     []string `file:"groups"`
	Roles      []string `file:"roles"`
}

// Bounds of the file.
const (
	maxIssuers  = 32
	maxMachines = 1000
	maxLeeway   = 5 * time.Minute
	minRefresh  = 10 * time.Second
	maxRefresh  = time.Hour
	maxKeep     = 30 * 24 * time.Hour
)

// Check looks at what must fit together.
func (f *callersFile) Check(at workerfile.Place) {
	if len(f.Issuers) > maxIssuers || len(f.Machines) > maxMachines {
		at.Fault("", "at most %d issuers and %d machines", maxIssuers, maxMachines)
	}
	if len(f.Issuers)+len(f.Machines) == 0 {
		at.Fault("", "it names no issuer and no machine")
	}
	seen := map[string]bool{}
	for i, one := range f.Issuers {
		if seen[one.Issuer] {
			at.Key("issuers").Index(i).Fault("issuer", "is there twice")
		}
		seen[one.Issuer] = true
	}
}

// Check looks at one issuer.
func (i *issuerOf) Check(at workerfile.Place) {
	if i.Issuer == "" && !at.Faulty("issuer") {
		at.Fault("issuer", "is empty")
	}
	if len(i.Audience) == 0 && !at.Faulty("audience") {
		at.Fault("audience", "names no audience: tokens that the issuer makes for others would be believed")
	}
	if slices.Contains(i.Audience, "") {
		at.Fault("audience", "has an empty name")
	}
	for n, name := range i.Algorithms {
		if !slices.Contains(identity.Algorithms, name) || i.SecretFile == "" && strings.HasPrefix(name, "HS") || i.SecretFile != "" && !strings.HasPrefix(name, "HS") {
			at.Key("algorithms").Index(n).Fault("", "want one of %s with a secret, else one of %s", strings.Join(identity.Algorithms[:3], ", "), strings.Join(identity.Public, ", "))
		}
	}
	switch given := btoi(i.SecretFile != "") + btoi(len(i.PublicFile) > 0) + btoi(i.KeysURL != ""); {
	case given > 1:
		at.Fault("", "keys come from one of secret_file, public_files and jwks_url")
	case i.KeysURL != "":
		if err := identity.CheckURL(i.KeysURL); err != nil {
			at.Fault("jwks_url", "%v", err)
		}
	case given == 0:
		if err := identity.CheckURL(i.Issuer); err != nil {
			at.Fault("issuer", "without secret_file, public_files or jwks_url, its keys are looked for below it: %v", err)
		}
	}
	i.checkTimes(at)
	if i.Login != nil {
		if err := identity.CheckURL(i.Issuer); err != nil {
			at.Fault("login", "it is asked for the way to sign in: %v", err)
		}
	}
}

func (i *issuerOf) checkTimes(at workerfile.Place) {
	if i.Leeway > maxLeeway {
		at.Fault("leeway", "at most %s", maxLeeway)
	}
	if i.Refresh != 0 && (i.Refresh < minRefresh || i.Refresh > maxRefresh) {
		at.Fault("refresh", "from %s to %s", minRefresh, maxRefresh)
	}
	if i.Keep > maxKeep {
		at.Fault("keep", "at most %s", maxKeep)
	}
}

// Check looks at one row.
func (m *machineOf) Check(at workerfile.Place) {
	if btoi(m.URI != "")+btoi(m.DNS != "")+btoi(m.CommonName != "") != 1 {
		at.Fault("", "a machine has just one of uri, dns and cn")
	}
	if strings.Contains(strings.TrimSuffix(m.URI, "/*"), "*") {
		at.Fault("uri", "* stands at the end, after a /, for all below it")
	}
	if strings.Contains(strings.TrimPrefix(m.DNS, "*."), "*") || m.DNS != strings.ToLower(m.DNS) {
		at.Fault("dns", "want a name in small letters; *. before it stands for one label")
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readCallers reads the file.
func readCallers(path string) (*callersFile, error) {
	text, _, err := workerfile.ReadFile(path, workerfile.MaxBytes)
	if err != nil {
		return nil, err
	}
	file := &callersFile{}
	if err := workerfile.Fill(path, text, file); err != nil {
		return nil, err
	}
	return file, nil
}

// verifiers are those of the file's issuers. Paths are relative to the file.
func (f *callersFile) verifiers(path string) (out []*identity.Verifier, err error) {
	for i, one := range f.Issuers {
		v, err := one.verifier(filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("%s: issuers[%d]: %w", path, i, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// logins are where people sign in with a browser, whose way back is below base.
func (f *callersFile) logins(path, base string) (out []signin.Issuer, err error) {
	for i, one := range f.Issuers {
		if one.Login == nil {
			continue
		}
		at := fmt.Sprintf("%s: issuers[%d].login", path, i)
		if identity.CheckURL(base) != nil {
			return nil, fmt.Errorf("%s: it needs %sBASE_URL, the URL of this server in browsers: https, or http on this machine", at, config.Prefix)
		}
		roots, err := one.roots(filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		to := signin.Issuer{URL: one.Issuer, ClientID: one.Login.ClientID, Scopes: one.Login.Scopes, HTTP: identity.HTTPClient(roots)}
		if one.Login.ClientSecretFile != "" {
			if to.Secret, err = readSecret(beside(filepath.Dir(path), one.Login.ClientSecretFile)); err != nil {
				return nil, fmt.Errorf("%s: client_secret_file: %w", at, err)
			}
		}
		out = append(out, to)
	}
	return out, nil
}

func (f *callersFile) certified() (out []identity.Machine) {
	for _, m := range f.Machines {
		out = append(out, identity.Machine(m))
	}
	return out
}

func (i *issuerOf) verifier(dir string) (*identity.Verifier, error) {
	cfg := identity.Config{Algorithms: i.Algorithms, Issuer: i.Issuer, Audiences: i.Audience, Leeway: i.Leeway, Claims: identity.Claims(i.Claims)}
	files := i.PublicFile
	if i.SecretFile != "" {
		files = []string{i.SecretFile}
	}
	if len(cfg.Algorithms) == 0 && i.SecretFile == "" {
		cfg.Algorithms = identity.Public
	}
	for _, name := range files {
		text, err := readSecret(beside(dir, name))
		if err != nil {
			return nil, err
		}
		cfg.Keys = append(cfg.Keys, text)
	}
	if len(files) == 0 {
		roots, err := i.roots(dir)
		if err != nil {
			return nil, err
		}
		cfg.JWKS = &identity.JWKS{URL: i.KeysURL, Refresh: i.Refresh, Keep: i.Keep, HTTP: identity.HTTPClient(roots)}
	}
	return identity.New(cfg)
}

// roots are the authorities that the issuer's certificate is checked by; nil: the machine's.
func (i *issuerOf) roots(dir string) (*x509.CertPool, error) {
	if i.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(beside(dir, i.CAFile))
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file: %s has no certificate in PEM", i.CAFile)
	}
	return roots, nil
}

// beside is a path as a file in the directory writes it.
func beside(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
