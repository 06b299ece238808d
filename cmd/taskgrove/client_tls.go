package main

import "strings"

// tlsFaults are what is said about connections that fail for their encryption, by parts of the texts of crypto/tls, crypto/x509 and gRPC, which
// reach a command as text only. The first that fits counts.
var tlsFaults = []struct{ text, advice string }{
	{"certificate signed by unknown authority", "nobody whom this machine trusts vouches for the coordinator: --tls-ca-file names the file of its authority"},
	{"certificate is valid for", "the coordinator's certificate is for another name: use that one in --server, or in --tls-server-name"},
	{"certificate is not valid for any names", "the coordinator's certificate is for no name: it needs one, as a subject alternative name"},
	{"doesn't contain any IP SANs", "the coordinator's certificate is for no address: use its name in --server, or in --tls-server-name"},
	{"relies on legacy Common Name", "the coordinator's certificate is for no name: it needs one, as a subject alternative name"},
	{"certificate has expired or is not yet valid", "the time of the coordinator's certificate is over, or has not begun; or this machine's clock is wrong"},
	{"remote error: tls: certificate required", "the coordinator asks for a certificate: --tls-cert-file and --tls-key-file name it and its key"},
	{"remote error: tls: unknown certificate authority", "the coordinator does not trust who issued the certificate of --tls-cert-file"},
	{"remote error: tls: bad certificate", "the coordinator refuses the certificate of --tls-cert-file: its authority, its use (clientAuth) or its time"},
	{"remote error: tls: expired certificate", "the time of the certificate of --tls-cert-file is over"},
	{"remote error: tls: protocol version", "the coordinator speaks newer versions of TLS only"},
	{"first record does not look like a TLS handshake", "the coordinator speaks no TLS there: leave out --tls and the other flags of TLS, or name its port with TLS"},
	{"tls: missing ALPN", "what answers there speaks TLS and no gRPC: name the gRPC port in --server"},
	{"broke before the server had spoken", "what answers there speaks no plain gRPC: if it speaks TLS, --tls or --tls-ca-file encrypts the connection"},
}

// tlsAdvice says what to do about a connection that failed for its encryption; empty: that is not why.
func tlsAdvice(err error) string {
	text := err.Error()
	for _, f := range tlsFaults {
		if strings.Contains(text, f.text) {
			return f.advice
		}
	}
	return ""
}
