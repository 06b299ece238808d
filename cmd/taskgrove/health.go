package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/credential"
)

// healthCommand asks the process of this container or machine how it is, by the settings that it reads itself.
func healthCommand() *cobra.Command {
	var addr string
	var live bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health [coordinator|worker]",
		Short: "Ask the coordinator or worker that runs here whether it is ready",
		Long: "Asks the process that runs here, by its HTTP listener, whether it is ready: for health checks of containers, which have no shell.\n" +
			"It finds the listener by the settings of the process itself (TASKGROVE_HTTP_ADDR, TASKGROVE_WORKER_HTTP_ADDR, TASKGROVE_LISTEN_TLS_*), so\n" +
			"give it the same environment, and --http-addr if the process was given that. Without an argument it asks both addresses; whichever\n" +
			"answers counts.\n\n" +
			"Exit status: 0 when it is ready, 1 when it is not or nothing answers, 2 when a setting is wrong.",
		Example:   "  taskgrove health\n  taskgrove health worker --live",
		GroupID:   groupServe,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"coordinator", "worker"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if addr != "" && len(args) == 0 {
				args = []string{"process"}
			}
			asked, err := healthTargets(strings.Join(args, ""), addr)
			if err != nil {
				return err
			}
			path := "/ready"
			if live {
				path = "/health"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			text, err := asked.ask(ctx, path)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().StringVar(&addr, "http-addr", "", "address of the listener, instead of the one in the settings")
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether it lives (/health), not whether it can do its work (/ready)")
	cmd.Flags().DurationVar(&timeout, "timeout", 4*time.Second, "how long to wait for an answer")
	return cmd
}

// healthSettings are those of a coordinator and of a worker that say where and how they serve HTTP.
type healthSettings struct {
	config.Listen
	config.HTTP
	config.ListenTLS
	WorkerHTTP config.OptionalAddress `envconfig:"WORKER_HTTP_ADDR" default:"127.0.0.1:0"`
}

// listener is where a process may answer.
type listener struct{ kind, addr string }

// healthListeners are those that may answer here, and how they speak TLS.
type healthListeners struct {
	all    []listener
	secure *tls.Config // nil: plain text
}

// healthTargets says whom to ask for a kind of process; empty: whoever answers. An address goes before that of the settings.
func healthTargets(kind, addr string) (out healthListeners, err error) {
	if _, err := config.ReadEnvFiles(); err != nil {
		return out, err
	}
	var settings healthSettings
	if err := config.LoadPart(&settings); err != nil {
		return out, err
	}
	if settings.CertFile != "" && bool(settings.HTTPTLS) {
		out.secure = toOneself(settings.CertFile, settings.KeyFile)
	}
	if addr != "" {
		if err := new(config.Address).Decode(addr); err != nil {
			return out, usage("--http-addr %s: %v", addr, err)
		}
		out.all = []listener{{kind, addr}}
		return out, nil
	}
	for _, l := range []listener{{"coordinator", string(settings.HTTPAddr)}, {"worker", string(settings.WorkerHTTP)}} {
		_, port, _ := net.SplitHostPort(l.addr)
		switch {
		case kind != "" && kind != l.kind:
		case port != "" && port != "0":
			out.all = append(out.all, l)
		case kind != "":
			return out, usage("nobody knows where the %s serves HTTP: set %s to an address with a port", kind, healthVariable[kind])
		}
	}
	if len(out.all) == 0 {
		return out, usage("nobody knows where a process serves HTTP here: set %s or %s to an address with a port", healthVariable["coordinator"], healthVariable["worker"])
	}
	return out, nil
}

var healthVariable = map[string]string{"coordinator": config.Prefix + "HTTP_ADDR", "worker": config.Prefix + "WORKER_HTTP_ADDR"}

// toOneself is TLS with the process that has this certificate. It is not checked: its names are those by which others reach the process, not
// those of this machine, and all that is asked is whether it answers. Where callers must show one, its own may do.
func toOneself(certFile, keyFile string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := credential.Pair{Cert: credential.File{Path: certFile}, Key: credential.File{Path: keyFile}}.Read()
			if err != nil {
				return &tls.Certificate{}, nil // none: the listener says what it thinks of that
			}
			return &pair, nil
		},
	}
}

// errNobody is the answer of an address where nothing listens.
var errNobody = errors.New("nothing listens")

// ask is what the one that answers says. Who says that it is not ready counts more than who does not listen.
func (h healthListeners) ask(ctx context.Context, path string) (text string, err error) {
	var nobody []string
	for _, l := range h.all {
		answer, err := h.one(ctx, l.addr, path)
		switch {
		case errors.Is(err, errNobody):
			nobody = append(nobody, l.kind+" at "+l.addr)
		case err != nil:
			return "", fmt.Errorf("%s at %s: %w", l.kind, l.addr, err)
		default:
			text += "\n" + l.kind + " at " + l.addr + ": " + answer
		}
	}
	if text == "" {
		return "", fmt.Errorf("nothing listens: no %s", strings.Join(nobody, ", no "))
	}
	return text[1:], nil
}

// one asks a listener.
func (h healthListeners) one(ctx context.Context, addr, path string) (string, error) {
	transport := &http.Transport{
		TLSClientConfig: h.secure, DisableKeepAlives: true,
		// The address as it was listened at: an unspecified one means this machine. The name of the request is one that a listener knows.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	scheme := "http"
	if h.secure != nil {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost"+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := transport.RoundTrip(request)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && ctx.Err() == nil {
		return "", errNobody
	} else if err != nil {
		return "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return "", err
	}
	said := strings.TrimSpace(string(body))
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it answers %s: %s", answer.Status, said)
	}
	return said, nil
}
