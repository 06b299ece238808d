package ssh

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// trust is how a host's key is judged.
type trust struct {
	Any        bool     // whatever the host has
	KnownHosts string   // lines of a known_hosts file
	HostKey    string   // a public key, or its fingerprint
	Files      []string // known_hosts files, if nothing else is given
	Changed    []time.Time
}

// trust says how the target's key is judged. named: an operator chose the target.
func (e *Executor) trust(t *target, named bool, prefix string) (trust, error) {
	switch {
	case !t.verifies() && !named && !e.cfg.Insecure:
		return trust{}, invalid("%sverify_host_key: this worker does not connect to hosts whose key it can't verify; TASKGROVE_SSH_INSECURE=true allows it. "+
			"Better: give host_key or known_hosts", prefix)
	case !t.verifies():
		return trust{Any: true}, nil
	case t.HostKey != "":
		return trust{HostKey: strings.TrimSpace(t.HostKey)}, nil
	case t.KnownHosts != "":
		return trust{KnownHosts: t.KnownHosts}, nil
	}
	var tr trust
	for _, name := range e.knownHosts() {
		if info, err := os.Stat(name); err == nil {
			tr.Files = append(tr.Files, name)
			tr.Changed = append(tr.Changed, info.ModTime())
		} else if name == e.cfg.KnownHosts {
			return trust{}, fmt.Errorf("TASKGROVE_SSH_KNOWN_HOSTS of the worker: %w", err)
		}
	}
	return tr, nil
}

func (e *Executor) knownHosts() []string {
	if e.cfg.KnownHosts != "" {
		return []string{e.cfg.KnownHosts}
	}
	files := []string{"/etc/ssh/ssh_known_hosts"}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".ssh", "known_hosts"))
	}
	return files
}

// judge judges a host's key, and knows which kinds of keys the host may present: of several that a host has, it presents the one that is asked for first.
type judge struct {
	check ssh.HostKeyCallback
	kinds [][]string // algorithms, each to be tried if the one before presented a key that is not trusted; an empty list: all
}

// families are the algorithms by the kind of key.
var families = [][]string{
	{ssh.KeyAlgoED25519},
	{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
	{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
}

// certificates are the algorithms of host certificates.
var certificates = []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}

// judge makes the judge for a host.
func (tr *trust) judge(address string) (*judge, error) {
	switch {
	case tr.Any:
		return &judge{ssh.InsecureIgnoreHostKey(), [][]string{nil}}, nil //nolint:gosec // asked for by the task, allowed by the operator
	case tr.HostKey != "":
		return oneKey(tr.HostKey)
	}
	files := tr.Files
	if tr.KnownHosts != "" {
		file, err := os.CreateTemp("", "taskgrove-known-hosts-*") // the library reads files only
		if err != nil {
			return nil, err
		}
		defer os.Remove(file.Name())
		_, err = file.WriteString(tr.KnownHosts + "\n")
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		files = []string{file.Name()}
	}
	check, err := knownhosts.New(files...)
	if err != nil {
		_, reason, found := strings.Cut(err.Error(), "knownhosts: ") // after the path of a file that nobody knows
		if tr.KnownHosts == "" || !found {
			reason = err.Error()
		}
		return nil, invalid("known_hosts: %s", reason)
	}
	return &judge{check, [][]string{algorithmsOf(check, address, tr.mentionsAuthority())}}, nil
}

// mentionsAuthority: some host may present a certificate.
func (tr *trust) mentionsAuthority() bool {
	if strings.Contains(tr.KnownHosts, "@cert-authority") {
		return true
	}
	return slices.ContainsFunc(tr.Files, func(name string) bool {
		text, _ := os.ReadFile(name)
		return bytes.Contains(text, []byte("@cert-authority"))
	})
}

// algorithmsOf are those of the keys that are known of the host; nil: all, as nothing is known. A key that nobody has makes the
// library say what it knows.
func algorithmsOf(check ssh.HostKeyCallback, address string, certified bool) []string {
	nobody, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	known, ok := errors.AsType[*knownhosts.KeyError](check(address, &net.TCPAddr{}, nobody))
	if !ok || len(known.Want) == 0 {
		return nil
	}
	var algorithms []string
	if certified {
		algorithms = slices.Clone(certificates)
	}
	for _, want := range known.Want {
		for _, algorithm := range familyOf(want.Key.Type()) {
			if !slices.Contains(algorithms, algorithm) {
				algorithms = append(algorithms, algorithm)
			}
		}
	}
	return algorithms
}

func familyOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return families[2]
	}
	return []string{keyType}
}

// oneKey trusts one key alone. Of a fingerprint nobody knows which kind of key it is of, so all kinds are tried.
func oneKey(text string) (*judge, error) {
	if strings.HasPrefix(text, "SHA256:") {
		want := strings.TrimRight(text, "=")
		return &judge{func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if ssh.FingerprintSHA256(key) != want {
				return &mismatchError{got: key, want: want}
			}
			return nil
		}, families}, nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil, invalid("host_key: is neither a public key (ssh-ed25519 AAAA…) nor a fingerprint (SHA256:…)")
	}
	return &judge{func(_ string, _ net.Addr, got ssh.PublicKey) error {
		if !bytes.Equal(got.Marshal(), key.Marshal()) {
			return &mismatchError{got: got, want: ssh.FingerprintSHA256(key)}
		}
		return nil
	}, [][]string{familyOf(key.Type())}}, nil
}

// mismatchError: the host has another key than the one that is trusted.
type mismatchError struct {
	got  ssh.PublicKey
	want string
}

func (e *mismatchError) Error() string {
	return fmt.Sprintf("it presented %s %s, expected %s", e.got.Type(), ssh.FingerprintSHA256(e.got), e.want)
}

// distrust is why a key was not trusted, in words; ok: err says that.
func distrust(err error, key ssh.PublicKey) (text string, ok bool) {
	presented := "it"
	if key != nil {
		presented = key.Type() + " " + ssh.FingerprintSHA256(key)
	}
	if wrong, ok := errors.AsType[*mismatchError](err); ok {
		return "host key mismatch: " + wrong.Error(), true
	}
	if _, ok := errors.AsType[*knownhosts.RevokedError](err); ok {
		return "host key " + presented + " is revoked", true
	}
	known, ok := errors.AsType[*knownhosts.KeyError](err)
	switch {
	case !ok:
		return "", false
	case len(known.Want) == 0:
		return "host key " + presented + " is not known: add it to known_hosts, or give host_key", true
	}
	want := make([]string, len(known.Want))
	for i, k := range known.Want {
		want[i] = ssh.FingerprintSHA256(k.Key)
	}
	return "host key mismatch: it presented " + presented + ", expected " + strings.Join(want, " or "), true
}
