package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/internal/readiness"
)

// A coordinator that waits for Postgres and then for NATS lives, says at its address what it waits for in one line without hosts, and goes on by
// itself once they are there.
func TestACoordinatorSaysWhatItWaitsFor(t *testing.T) {
	whole := settingsOfCoordinator(t)
	cfg := *whole
	postgres, nats := behindDoor(t, whole.PostgresURL.Reveal()), behindDoor(t, whole.NATSURL.Reveal())
	cfg.PostgresURL.Secret, cfg.NATSURL.Secret = config.Secret(postgres.url), config.Secret(nats.url)
	cfg.HTTPAddr = config.Address(porttest.Address(t))
	p := NewProcess(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan error, 1)
	go func() {
		_, err := p.StartCoordinator(ctx, &cfg, Options{})
		started <- err
	}()
	at := "http://" + string(cfg.HTTPAddr)
	until(t, at+"/ready", 503, `"reason":"waits for Postgres: Postgres can't be reached"`)
	until(t, at+"/health", 200, `"ok"`)
	until(t, at+"/tasks", 503, "starting")
	postgres.open()
	until(t, at+"/ready", 503, `"reason":"waits for NATS"`)
	nats.open()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	until(t, at+"/ready", 200, `"ready"`)
	until(t, at+"/tasks", 200, "")
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", string(cfg.HTTPAddr)); err == nil {
		conn.Close()
		t.Error("somebody listens after the stop")
	}
}

// A process is not ready in any step of its start, nor between two of them, though nobody's probe says so.
func TestAProcessIsNotReadyBeforeItsLastStep(t *testing.T) {
	t.Parallel()
	p := NewProcess(slog.New(slog.DiscardHandler))
	p.setAwaits(starting)
	said := func(want string) {
		t.Helper()
		if got := readiness.Reason(p.Ready(t.Context())); got != want {
			t.Errorf("the reason is %q, want %q", got, want)
		}
	}
	said("starts")
	for what, await := range map[string]func(func() error) error{
		"waits for NATS": func(f func() error) error {
			return p.await(t.Context(), "NATS", func(func(error)) error { return f() })
		},
		"waits for the keys": func(f func() error) error { return p.awaitStep(t.Context(), "the keys", f) },
	} {
		if err := await(func() error { said(what); return nil }); err != nil {
			t.Fatal(err)
		}
		said("starts")
		if err := await(func() error { return io.EOF }); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		said(what) // it stays what the start fails for
		p.setAwaits(starting)
	}
	p.setAwaits(nil)
	if err := p.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// A coordinator that is stopped while it waits gives its address back.
func TestAPorchEndsWithItsProcess(t *testing.T) {
	cfg := *settingsOfCoordinator(t)
	cfg.PostgresURL.Secret = config.Secret(behindDoor(t, cfg.PostgresURL.Reveal()).url)
	cfg.HTTPAddr = config.Address(porttest.Address(t))
	p := NewProcess(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := p.StartCoordinator(ctx, &cfg, Options{})
		ended <- err
	}()
	until(t, "http://"+string(cfg.HTTPAddr)+"/ready", 503, "waits for Postgres")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	listener, err := net.Listen("tcp", string(cfg.HTTPAddr))
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
}

// until asks again and again, until the answer has the status and holds the text.
func until(t *testing.T, address string, status int, text string) {
	t.Helper()
	var last string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		res, err := http.Get(address)
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if last = fmt.Sprintf("HTTP %d %s", res.StatusCode, body); res.StatusCode == status && strings.Contains(string(body), text) {
			return
		}
	}
	t.Fatalf("%s: got %s, want HTTP %d with %s", address, last, status, text)
}

// door is an address that refuses connections until it is opened; then it leads to another.
type door struct {
	url, address, to string
	t                *testing.T
}

func behindDoor(t *testing.T, of string) *door {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{address: porttest.Address(t), to: u.Host, t: t}
	if socket := u.Query().Get("host"); socket != "" {
		t.Skipf("Postgres of the tests is at a socket: %s", socket)
	}
	u.Host = d.address
	d.url = u.String()
	return d
}

func (d *door) open() {
	d.t.Helper()
	listener, err := net.Listen("tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { listener.Close() })
	go func() { // ends with the listener
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", d.to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { io.Copy(out, in); out.Close() }()
				io.Copy(in, out)
			}()
		}
	}()
}
