package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// maxTokenBytes is the longest token that a coordinator takes.
const maxTokenBytes = 8 << 10

// WithToken sends a token with each call, so that the coordinator knows who makes it. Without [WithTLS] that needs a target on this machine, or
// [WithPlainToken].
func WithToken(token string) Option {
	return func(s *settings) { s.token = func() (string, error) { return token, nil } }
}

// WithTokenFile does as [WithToken], with the token in a file. It is read again when it has changed, so that a token may be replaced before it ends.
func WithTokenFile(path string) Option {
	return func(s *settings) { s.token = (&tokenFile{path: path}).read }
}

// WithTokenFrom does as [WithToken], with the token that a function gives for each call. Calls wait for it, and several may ask at once.
func WithTokenFrom(token func() (string, error)) Option {
	return func(s *settings) { s.token = token }
}

// WithPlainToken lets a token go to other machines in plain text, where whoever reads it may use it. It is for networks that are encrypted
// themselves.
func WithPlainToken() Option {
	return func(s *settings) { s.plain = true }
}

// tokenFile is a file with a token.
type tokenFile struct {
	path string

	mu      sync.Mutex
	token   string
	changed time.Time // of the file as it was read
	size    int64
}

func (f *tokenFile) read() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		return "", err
	case info.ModTime().Equal(f.changed) && info.Size() == f.size:
		return f.token, nil
	case info.Size() > maxTokenBytes+2:
		return "", fmt.Errorf("%s is larger than a token", f.path)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return "", err
	}
	f.token, f.changed, f.size = strings.TrimSpace(string(text)), info.ModTime(), info.Size()
	return f.token, nil
}

// bearer gives calls their token. It implements [credentials.PerRPCCredentials].
type bearer struct {
	token func() (string, error)
	plain bool // it may go in plain text
}

// GetRequestMetadata is the token as metadata.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.token()
	switch {
	case err != nil:
		return nil, fmt.Errorf("token: %w", err)
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, errors.New("token: it has characters that no token has")
	case token == "":
		return nil, nil
	}
	if info, ok := credentials.RequestInfoFromContext(ctx); ok && !b.plain {
		if err := credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
			return nil, errors.New("token: the connection is not encrypted")
		}
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (b bearer) RequireTransportSecurity() bool { return !b.plain }

// local reports whether a target of gRPC is on this machine.
func local(target string) bool {
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
		return true
	}
	if i := strings.LastIndexByte(target, '/'); i >= 0 {
		target = target[i+1:]
	}
	for address := range strings.SplitSeq(target, ",") {
		host := address
		if name, _, err := net.SplitHostPort(address); err == nil {
			host = name
		}
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && (err != nil || !addr.IsLoopback()) {
			return false
		}
	}
	return true
}
