package network

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"

	"github.com/taskgrove/taskgrove/executors"
)

// Classed says of an error of a connection whether another attempt may help: it is marked by [executors.Permanent] if not. Its kind is
// [executors.KindConnect] if it has none. A [url.Error]
// around it is dropped, as it repeats a URL, which may hold secrets.
//
// Permanent are refusals of the guard and of a proxy, addresses that can't be read, bad certificates, and servers that speak no TLS or none
// that we do: somebody has to change something. All else may pass. So may "no such host": a name that is not there yet, or that a resolver does
// not know while a link is down, looks like a misspelt one, and a task that fails for good by mistake costs more than some attempts.
func Classed(err error) error {
	permanent := executors.IsPermanent(err) || final(err)
	if err = inner(err); err != nil && executors.KindOf(err) == "" {
		err = executors.WithKind(err, executors.KindConnect)
	}
	if permanent {
		return executors.Permanent(err)
	}
	return err
}

// inner is what a [url.Error] says that it is of.
func inner(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}

func final(err error) bool {
	return isA[x509.UnknownAuthorityError](err) || isA[x509.HostnameError](err) || isA[x509.CertificateInvalidError](err) ||
		isA[x509.UnhandledCriticalExtension](err) || isA[x509.SystemRootsError](err) || isA[*tls.CertificateVerificationError](err) ||
		isA[tls.RecordHeaderError](err) ||
		isA[*net.AddrError](err) || isA[*net.ParseError](err) || isA[net.UnknownNetworkError](err) || isA[net.InvalidAddrError](err) ||
		finalAlert(err)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// finalAlerts are the alerts by which a server ends a handshake that would end alike the next time (RFC 8446 6.2): handshake_failure, those about
// our certificate, access_denied, protocol_version, insufficient_security, unrecognized_name, certificate_required, no_application_protocol.
var finalAlerts = []tls.AlertError{40, 42, 43, 44, 45, 46, 48, 49, 70, 71, 112, 116, 120}

// finalAlert: the type in which crypto/tls reports the alert of another side is its own, so they are compared by their texts.
func finalAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" && slices.ContainsFunc(finalAlerts, func(a tls.AlertError) bool { return a.Error() == op.Err.Error() })
}
