package credential

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// ServerFiles say what the listeners of a process prove themselves with, and whose certificates they ask callers for.
type ServerFiles struct {
	Pair     Pair
	ClientCA File // whose certificates callers may show; empty: nobody's
}

// Server is the TLS of listeners. A change of its files counts within [Recheck], for new connections; a change that can't be read keeps
// what was there before. Safe for concurrent use.
type Server struct {
	files ServerFiles
	log   *slog.Logger

	mu       sync.Mutex
	looked   time.Time // when the files were last looked at
	seen     []os.FileInfo
	pair     tls.Certificate
	clients  *x509.CertPool           // nil: callers show no certificates
	made     map[Listener]*tls.Config // from what the files hold; nil: they were not read yet
	failures int64
	fault    string // of the last reading; empty: it went well
}

// Recheck is how often, at most, the files are looked at.
const Recheck = time.Second

// Listener is how one of the listeners speaks TLS.
type Listener struct {
	ClientAuth tls.ClientAuthType // NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert
	MinVersion uint16             // of TLS
	Protocols  string             // of ALPN, separated by commas
}

// NewServer reads the files. Its error is an *[Error].
func NewServer(files ServerFiles, log *slog.Logger) (*Server, error) {
	s := &Server{files: files, log: log}
	s.seen = s.stat()
	s.looked = time.Now()
	if err := s.read(); err != nil {
		return nil, err
	}
	if s.ended(s.pair) != nil { // what the process does besides listening goes on
		log.Error("certificate of the listeners has ended: clients will refuse it", "setting", files.Pair.Cert.Setting, "not_after", s.pair.Leaf.NotAfter)
	}
	return s, nil
}

// Config is the configuration of a listener. Each connection gets the certificate that is in the files then.
func (s *Server) Config(l Listener) (*tls.Config, error) {
	if l.ClientAuth != tls.NoClientCert && s.files.ClientCA.Path == "" {
		return nil, s.files.ClientCA.fault(errors.New("not set, though callers are asked for certificates"))
	}
	cfg := s.current(l).Clone()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current(l), nil }
	return cfg, nil
}

// NotAfter is when the certificate in use ends.
func (s *Server) NotAfter() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pair.Leaf.NotAfter
}

// Failures are how often changed files could not be read.
func (s *Server) Failures() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures
}

// Look reads the files again if they have changed.
func (s *Server) Look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
}

// current is the configuration with what the files hold.
func (s *Server) current(l Listener) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	cfg := s.made[l]
	if cfg == nil {
		cfg = &tls.Config{
			Certificates: []tls.Certificate{s.pair}, MinVersion: l.MinVersion, NextProtos: protocols(l.Protocols),
			ClientAuth: l.ClientAuth,
			// A resumed session would bring a caller's certificate without it being checked against what the files hold then.
			SessionTicketsDisabled: l.ClientAuth != tls.NoClientCert,
		}
		if l.ClientAuth != tls.NoClientCert {
			cfg.ClientCAs = s.clients
		}
		s.made[l] = cfg
	}
	return cfg
}

// look is [Server.Look]; mu is held.
func (s *Server) look() {
	if time.Since(s.looked) < Recheck {
		return
	}
	s.looked = time.Now()
	now := s.stat() // before reading: what changes meanwhile is seen the next time
	changed := !same(s.seen, now)
	if !changed && s.fault == "" { // else the reason may have gone without a trace, such as a missing right
		return
	}
	s.seen = now
	err := s.read()
	if err == nil {
		s.fault = ""
		s.log.Info("certificate of the listeners was read again", "setting", s.files.Pair.Cert.Setting, "not_after", s.pair.Leaf.NotAfter)
		return
	}
	if changed {
		s.failures++
	}
	if s.fault != err.Error() {
		s.fault = err.Error()
		s.log.Error("certificate of the listeners can't be read again, and the one before stays in use", "error", err, "not_after", s.pair.Leaf.NotAfter)
	}
}

// read takes over what the files hold, all or nothing.
func (s *Server) read() error {
	pair, err := s.files.Pair.Read()
	if err != nil {
		return err
	}
	var clients *x509.CertPool
	if s.files.ClientCA.Path != "" {
		if clients, err = s.files.ClientCA.Pool(); err != nil {
			return err
		}
	}
	if err := s.ended(pair); err != nil && s.made != nil { // the one before may be better
		return err
	}
	s.pair, s.clients, s.made = pair, clients, map[Listener]*tls.Config{}
	return nil
}

// ended is an error when the time of a certificate is over.
func (s *Server) ended(pair tls.Certificate) error {
	if time.Now().Before(pair.Leaf.NotAfter) {
		return nil
	}
	return s.files.Pair.Cert.fault(fmt.Errorf("the certificate of %s ended on %s", s.files.Pair.Cert.Path, pair.Leaf.NotAfter.UTC().Format(time.DateTime)))
}

// stat is what tells whether files have changed; nil for one that is missing. It follows links, as in mounted Secrets of Kubernetes.
func (s *Server) stat() (all []os.FileInfo) {
	for _, f := range []File{s.files.Pair.Cert, s.files.Pair.Key, s.files.ClientCA} {
		info, err := os.Stat(f.Path)
		if err != nil {
			info = nil
		}
		all = append(all, info)
	}
	return all
}

func same(a, b []os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size()) {
			return false
		}
	}
	return true
}

func protocols(list string) []string {
	var out []string
	for name := range strings.SplitSeq(list, ",") {
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}
