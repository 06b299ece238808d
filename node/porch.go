package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/internal/config"
)

// A porch answers at the HTTP address of a coordinator that is not ready for anybody yet: that it lives, and what it waits for. Who looks after
// the process then neither takes it for dead nor has to guess.
type porch struct {
	listener *net.TCPListener // stays open when the porch closes
	stop     context.CancelFunc
	ended    chan struct{}
}

// openPorch takes the address of cfg, and serves health, readiness and metrics there until the porch is left, or the process stops.
func (p *Process) openPorch(ctx context.Context, cfg httpserver.Config) (*porch, error) {
	var address net.ListenConfig
	listener, err := address.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("%sHTTP_ADDR: http server: %w", config.Prefix, err)
	}
	h := &porch{listener: listener.(*net.TCPListener), ended: make(chan struct{})}
	server, err := httpserver.Listen(httpserver.Config{
		Addr: cfg.Addr, Listener: &kept{TCPListener: h.listener}, TLS: cfg.TLS, Hosts: cfg.Hosts, Log: cfg.Log,
		Ready: p.Ready, Metrics: p.metrics, API: http.HandlerFunc(notYet),
	})
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	var serving context.Context
	serving, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() { // ends when the porch is left
		defer close(h.ended)
		if err := server.Run(serving); err != nil {
			p.log.Error("the probes of a coordinator that starts have ended", "error", err)
		}
	}()
	p.OnStop("probes of the start", func() error {
		h.stop()
		<-h.ended
		_ = h.listener.Close() // whoever served there last has closed it
		return nil
	})
	return h, nil
}

// leave ends the porch, and hands its listener on. Who connects meanwhile waits.
func (h *porch) leave() (net.Listener, error) {
	h.stop()
	<-h.ended
	return h.listener, h.listener.SetDeadline(time.Time{})
}

func notYet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "the coordinator is starting", http.StatusServiceUnavailable)
}

// kept is a listener that stays open when its server closes it.
type kept struct {
	*net.TCPListener
	closed atomic.Bool
}

func (k *kept) Accept() (net.Conn, error) {
	conn, err := k.TCPListener.Accept()
	if err != nil && k.closed.Load() {
		return nil, net.ErrClosed
	}
	return conn, err
}

func (k *kept) Close() error {
	k.closed.Store(true)
	return k.SetDeadline(time.Now())
}
