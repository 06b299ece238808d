// Package tlsinput reads the input tls of executors: whether a connection is encrypted, whom it trusts, and as whom it presents itself.
//
// It owns that input's schema and its faults. It must not know what is spoken over the connection.
package tlsinput

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"

	"github.com/taskgrove/taskgrove/executors/network"
)

// Schema is the JSON Schema of the input.
const Schema = `{"type": ["boolean", "object", "null"], "description": "true, or how: the connection is encrypted", "properties": {
      "ca": {"type": "string", "description": "Authorities, as PEM: the server's certificate must be of one of them. By default, the machine's and those of the pool"},
      "cert": {"type": "string", "description": "Own certificate, as PEM, for servers that demand one (mTLS)"},
      "key": {"type": "string", "description": "Its private key, as PEM"},
      "server_name": {"type": "string", "description": "The name that the server's certificate must have; by default the host"},
      "insecure_skip_verify": {"type": "boolean", "default": false, "description": "Do not check the server's certificate"}}}`

// Options say how a connection is encrypted.
type Options struct {
	CA         string `json:"ca"`
	Cert       string `json:"cert"`
	Key        string `json:"key"`
	ServerName string `json:"server_name"`
	Insecure   bool   `json:"insecure_skip_verify"`

	authorities  *x509.CertPool    // nil: those of the machine and the pool
	certificates []tls.Certificate // own
}

// Parse reads the input: said tells whether it says anything, options are nil if it says no. Errors show nothing of the key, and are phrased
// to follow the word tls.
func Parse(input json.RawMessage) (options *Options, said bool, err error) {
	switch string(input) {
	case "", "null":
		return nil, false, nil
	case "false":
		return nil, true, nil
	case "true":
		return &Options{}, true, nil
	}
	o := &Options{}
	if json.Unmarshal(input, o) != nil {
		return nil, true, errors.New("must be true, false, or an object of ca, cert, key, server_name and insecure_skip_verify")
	}
	if o.CA != "" {
		o.authorities = x509.NewCertPool()
		if !o.authorities.AppendCertsFromPEM([]byte(o.CA)) {
			return nil, true, errors.New("has a ca without a certificate in PEM")
		}
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, true, errors.New("needs cert and key, or neither")
	}
	if o.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(o.Cert), []byte(o.Key))
		if err != nil {
			return nil, true, errors.New("has a cert and a key in PEM that do not belong together or can't be read")
		}
		o.certificates = []tls.Certificate{pair}
	}
	return o, true, nil
}

// Sum is equal for equal options.
func (o *Options) Sum() [sha256.Size]byte {
	text, _ := json.Marshal(o) // texts and a boolean
	return sha256.Sum256(text)
}

// Config is for connections that d opens to a host. A host of "" leaves the name to whoever makes the handshake, if the options have none.
func (o *Options) Config(d *network.Dialer, host string) *tls.Config {
	if o.ServerName != "" {
		host = o.ServerName
	}
	cfg := d.TLS(host)
	if o.authorities != nil {
		cfg.RootCAs = o.authorities
	}
	cfg.Certificates = o.certificates
	cfg.InsecureSkipVerify = o.Insecure //nolint:gosec // asked for by the task
	return cfg
}
