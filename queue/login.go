package queue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/taskgrove/taskgrove/internal/credential"
)

// Login is what a connection proves itself with besides what its URL says. The files are read for every connection that is made, so what
// replaces them counts without a restart. Each may be empty.
type Login struct {
	CredsFile         string // a JWT and its seed
	NKeyFile          string // a seed
	PasswordFile      string // the password of the URL's user
	CAFile            string // authorities whose certificates are trusted, instead of the machine's; makes TLS a must
	CertFile, KeyFile string // a certificate to show, and its key; makes TLS a must
}

func (l Login) creds() credential.File {
	return credential.File{Setting: "TASKGROVE_NATS_CREDS_FILE", Path: l.CredsFile}
}
func (l Login) nkey() credential.File {
	return credential.File{Setting: "TASKGROVE_NATS_NKEY_FILE", Path: l.NKeyFile}
}
func (l Login) password() credential.File {
	return credential.File{Setting: "TASKGROVE_NATS_PASSWORD_FILE", Path: l.PasswordFile}
}
func (l Login) ca() credential.File {
	return credential.File{Setting: "TASKGROVE_NATS_TLS_CA_FILE", Path: l.CAFile}
}

func (l Login) pair() credential.Pair {
	return credential.Pair{
		Cert: credential.File{Setting: "TASKGROVE_NATS_TLS_CERT_FILE", Path: l.CertFile},
		Key:  credential.File{Setting: "TASKGROVE_NATS_TLS_KEY_FILE", Path: l.KeyFile},
	}
}

// what names what the connection logs in with, for who reads that it was refused.
func (l Login) what(url string) string {
	switch {
	case l.CredsFile != "":
		return "the JWT of TASKGROVE_NATS_CREDS_FILE"
	case l.NKeyFile != "":
		return "the key of TASKGROVE_NATS_NKEY_FILE"
	case l.CertFile != "" && userOf(url) == "":
		return "the certificate of TASKGROVE_NATS_TLS_CERT_FILE"
	}
	return fmt.Sprintf("user %q or its password", userOf(url))
}

// check reads all files once. Its error names the setting of a file that is wrong.
func (l Login) check() error {
	var faults []error
	if l.CredsFile != "" {
		_, _, err := l.readCreds()
		faults = append(faults, err)
	}
	if l.NKeyFile != "" {
		_, err := l.readNKey()
		faults = append(faults, err)
	}
	if l.PasswordFile != "" {
		_, err := l.password().Text()
		faults = append(faults, err)
	}
	if l.CAFile != "" {
		_, err := l.ca().Pool()
		faults = append(faults, err)
	}
	if l.pair().Given() {
		_, err := l.pair().Read()
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// readCreds reads a JWT and its key.
func (l Login) readCreds() (jwt string, key nkeys.KeyPair, err error) {
	data, err := l.creds().Read()
	if err != nil {
		return "", nil, err
	}
	if jwt, err = nkeys.ParseDecoratedJWT(data); err == nil {
		key, err = nkeys.ParseDecoratedUserNKey(data)
	}
	if err != nil {
		return "", nil, &credential.Error{Setting: l.creds().Setting, Reason: errors.New(l.CredsFile + " holds no JWT of a user with its seed")}
	}
	return jwt, key, nil
}

func (l Login) readNKey() (nkeys.KeyPair, error) {
	data, err := l.nkey().Read()
	if err != nil {
		return nil, err
	}
	key, err := nkeys.ParseDecoratedUserNKey(data)
	if err != nil {
		return nil, &credential.Error{Setting: l.nkey().Setting, Reason: errors.New(l.NKeyFile + " holds no seed of a user")}
	}
	return key, nil
}

// servers are the addresses of a URL. One that says who connects would go before the password of a file.
func (l Login) servers(urls string) string {
	if l.PasswordFile == "" {
		return urls
	}
	parts := strings.Split(urls, ",")
	for i, part := range parts {
		if parsed, err := url.Parse(strings.TrimSpace(part)); err == nil { // else who connects says what is wrong with it
			parsed.User = nil
			parts[i] = parsed.String()
		}
	}
	return strings.Join(parts, ",")
}

// options are those of a connection that logs in this way, as the user of the URL.
func (l Login) options(urls string) (options []nats.Option, dialled func(*nats.Conn)) {
	dialled = func(*nats.Conn) {}
	if l.CredsFile != "" {
		jwt := func() (string, error) {
			token, _, err := l.readCreds()
			return token, err
		}
		sign := func(nonce []byte) ([]byte, error) {
			_, key, err := l.readCreds()
			if err != nil {
				return nil, err
			}
			defer key.Wipe()
			return key.Sign(nonce)
		}
		options = append(options, nats.UserJWT(jwt, sign))
	}
	if l.NKeyFile != "" {
		option, set := l.byNKey()
		options, dialled = append(options, option), set
	}
	if l.PasswordFile != "" {
		options = append(options, nats.UserInfoHandler(func() (user, password string) {
			password, _ = l.password().Text() // without one the server refuses, until the file is there again
			return userOf(urls), password
		}))
	}
	if l.CAFile != "" || l.CertFile != "" {
		options = append(options, l.encrypted)
	}
	return options, dialled
}

// encrypted makes TLS a must, with what the files hold when a connection is made.
func (l Login) encrypted(o *nats.Options) error {
	o.Secure, o.TLSConfig = true, &tls.Config{MinVersion: tls.VersionTLS12}
	if l.CAFile != "" {
		o.RootCAsCB = func() (*x509.CertPool, error) { return l.ca().Pool() }
	}
	if l.CertFile != "" {
		o.TLSCertCB = func() (tls.Certificate, error) { return l.pair().Read() }
	}
	return nil
}

// byNKey logs in by the key that the file holds when a connection is made. The library asks for a signature each time, but keeps the public
// key in its options. It dials under its own lock, just before it reads them: so that is where a new key is put there.
func (l Login) byNKey() (nats.Option, func(*nats.Conn)) {
	public := func() (string, error) {
		key, err := l.readNKey()
		if err != nil {
			return "", err
		}
		defer key.Wipe()
		return key.PublicKey()
	}
	sign := func(nonce []byte) ([]byte, error) {
		key, err := l.readNKey()
		if err != nil {
			return nil, err
		}
		defer key.Wipe()
		return key.Sign(nonce)
	}
	var conn atomic.Pointer[nats.Conn] // nil: it connects for the first time
	dialer := &net.Dialer{Timeout: dialTimeout}
	dial := dialFunc(func(network, address string) (net.Conn, error) {
		if nc := conn.Load(); nc != nil {
			now, err := public()
			if err != nil {
				return nil, err
			}
			nc.Opts.Nkey = now
		}
		return dialer.DialContext(context.Background(), network, address)
	})
	return func(o *nats.Options) (err error) {
		if o.Nkey, err = public(); err != nil {
			return err
		}
		o.SignatureCB, o.CustomDialer = sign, dial
		return nil
	}, conn.Store
}

// dialFunc is a nats.CustomDialer.
type dialFunc func(network, address string) (net.Conn, error)

// Dial implements nats.CustomDialer.
func (f dialFunc) Dial(network, address string) (net.Conn, error) { return f(network, address) }
