package grpccall

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"

	"github.com/taskgrove/taskgrove/executors/network"
)

// tlsOptions say how a connection is encrypted.
type tlsOptions struct {
	CA         string `json:"ca"`
	Cert       string `json:"cert"`
	Key        string `json:"key"`
	ServerName string `json:"server_name"`
	Insecure   bool   `json:"insecure_skip_verify"`

	authorities  *x509.CertPool    // nil: those of the machine and the pool
	certificates []tls.Certificate // own
}

// setTLS reads the input tls. Its errors show nothing of the key.
func (p *plan) setTLS() error {
	options := &tlsOptions{}
	wanted := p.peer.secure
	switch text := string(p.in.TLS); text {
	case "", "null":
	case "false":
		if p.peer.secure {
			return errors.New("must not be false with grpcs://")
		}
	default:
		wanted = true
		if text != "true" && json.Unmarshal(p.in.TLS, options) != nil {
			return errors.New("must be true, false, or an object of ca, cert, key, server_name and insecure_skip_verify")
		}
	}
	if !wanted {
		return nil
	}
	if len(p.in.Server) > 7 && p.in.Server[:7] == "grpc://" {
		return errors.New("must not be set with grpc://, which is plain text: grpcs:// is not")
	}
	if options.CA != "" {
		options.authorities = x509.NewCertPool()
		if !options.authorities.AppendCertsFromPEM([]byte(options.CA)) {
			return errors.New("has a ca without a certificate in PEM")
		}
	}
	if (options.Cert == "") != (options.Key == "") {
		return errors.New("needs cert and key, or neither")
	}
	if options.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(options.Cert), []byte(options.Key))
		if err != nil {
			return errors.New("has a cert and a key in PEM that do not belong together or can't be read")
		}
		options.certificates = []tls.Certificate{pair}
	}
	text, err := json.Marshal(options)
	if err != nil {
		return err
	}
	p.tls, p.peer.secure, p.peer.tls = options, true, sha256.Sum256(text)
	return nil
}

// config is for connections that d opens. gRPC fills in the host where no other name is given.
func (o *tlsOptions) config(d *network.Dialer) *tls.Config {
	cfg := d.TLS(o.ServerName)
	if o.authorities != nil {
		cfg.RootCAs = o.authorities
	}
	cfg.Certificates = o.certificates
	cfg.InsecureSkipVerify = o.Insecure //nolint:gosec // asked for by the task
	return cfg
}
