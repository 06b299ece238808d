package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/credential"
	"github.com/taskgrove/taskgrove/internal/instrument"
)

// tlsParts say how the listeners of a process speak TLS.
type tlsParts struct {
	cert, key, clientCA, clientAuth, minVersion string
	http, grpc                                  listenerTLS
	insecure                                    bool // no warning that tokens travel in plain text
}

// listenerTLS is what is special about a listener.
type listenerTLS struct {
	plain      bool
	clientAuth string // empty: as that of all
}

// tlsOf maps the settings; listen is nil in a worker.
func tlsOf(all *config.ListenTLS, http *config.HTTP, listen *config.Listen) tlsParts {
	t := tlsParts{
		cert: all.CertFile, key: all.KeyFile, clientCA: all.ClientCAFile, clientAuth: string(all.ClientAuth), minVersion: string(all.MinVersion),
		http: listenerTLS{!bool(http.HTTPTLS), string(http.ClientAuth)},
	}
	if listen != nil {
		t.grpc, t.insecure = listenerTLS{!bool(listen.GRPCTLS), string(listen.GRPCClientAuth)}, bool(listen.Insecure)
	}
	return t
}

var (
	clientAuths = map[string]tls.ClientAuthType{"none": tls.NoClientCert, "optional": tls.VerifyClientCertIfGiven, "required": tls.RequireAndVerifyClientCert}
	tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
)

// listeners are the configurations of the listeners' TLS, each nil where plain text is spoken.
type listeners struct{ http, grpc *tls.Config }

// listeners reads the certificates, and tells the metrics of them.
func (p *Process) listeners(t tlsParts) (out listeners, err error) {
	if t.cert == "" {
		return out, nil
	}
	file := func(name, path string) credential.File {
		return credential.File{Setting: config.Prefix + "LISTEN_TLS_" + name, Path: path}
	}
	server, err := credential.NewServer(credential.ServerFiles{
		Pair: credential.Pair{Cert: file("CERT_FILE", t.cert), Key: file("KEY_FILE", t.key)}, ClientCA: file("CLIENT_CA_FILE", t.clientCA),
	}, p.log)
	if err != nil {
		return out, err
	}
	for _, l := range []struct {
		of        listenerTLS
		to        **tls.Config
		protocols string
	}{{t.http, &out.http, "h2,http/1.1"}, {t.grpc, &out.grpc, "h2"}} {
		if l.of.plain {
			continue
		}
		asked := clientAuths[cmp.Or(l.of.clientAuth, t.clientAuth)]
		if *l.to, err = server.Config(credential.Listener{ClientAuth: asked, MinVersion: tlsVersions[t.minVersion], Protocols: l.protocols}); err != nil {
			return out, err
		}
	}
	return out, p.observe(server)
}

// observe lets the metrics tell of the certificate of the listeners, until the process stops.
func (p *Process) observe(server *credential.Server) error {
	meter := otel.Meter("github.com/taskgrove/taskgrove/node")
	ends, err := meter.Float64ObservableGauge("taskgrove.tls.certificate.end", metric.WithUnit("s"), metric.WithDescription(instrument.Process.Help("taskgrove.tls.certificate.end")))
	if err != nil {
		return fmt.Errorf("metrics of certificates: %w", err)
	}
	failed, err := meter.Int64ObservableCounter("taskgrove.tls.reload.failures", metric.WithDescription(instrument.Process.Help("taskgrove.tls.reload.failures")))
	if err != nil {
		return fmt.Errorf("metrics of certificates: %w", err)
	}
	seen, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		server.Look() // also while nobody connects
		o.ObserveFloat64(ends, float64(server.NotAfter().Unix()))
		o.ObserveInt64(failed, server.Failures())
		return nil
	}, ends, failed)
	if err != nil {
		return fmt.Errorf("metrics of certificates: %w", err)
	}
	p.OnStop("metrics of certificates", seen.Unregister)
	return nil
}

// warnOfPlain: tokens of callers travel in plain text to a listener that other machines can reach.
func (p *Process) warnOfPlain(asked bool, l listeners, parts *coordinatorParts) {
	if !asked || parts.tls.insecure {
		return
	}
	for _, of := range []struct {
		setting, addr string
		tls           *tls.Config
	}{{"HTTP_ADDR", parts.http.Addr, l.http}, {"GRPC_ADDR", parts.grpc.Addr, l.grpc}} {
		if of.addr != "" && of.tls == nil && !config.Address(of.addr).Loopback() {
			p.log.Warn("callers are asked for tokens, and send them in plain text here: set TASKGROVE_LISTEN_TLS_CERT_FILE, or TASKGROVE_INSECURE_LISTEN if something before it, such as a proxy, speaks TLS",
				"setting", config.Prefix+of.setting, "address", of.addr)
		}
	}
}
