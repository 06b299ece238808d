package ssh

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/taskgrove/taskgrove/executors"
)

// clientVersion is how connections introduce themselves.
const clientVersion = "SSH-2.0-Taskgrove"

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// route is the way to a host.
type route struct {
	key   routeKey
	hops  []hop // the host is the last one
	first dialFunc
}

// routeKey is the same for attempts that may share a connection: same pool, host, user, credentials, trusted keys, and jump hosts.
type routeKey [sha256.Size]byte

// hop is a host on the way.
type hop struct {
	Address string
	Login   login
	Trust   trust
}

// route finds out how to get to the target of an attempt.
func (e *Executor) route(call *executors.Call, in *input) (*route, error) {
	r := &route{}
	named := call.Connection != ""
	for i := range in.Jump {
		if err := e.addHop(r, call, &in.Jump[i], fmt.Sprintf("jump[%d].", i)); err != nil {
			return nil, err
		}
	}
	if err := e.addHop(r, call, &in.target, ""); err != nil {
		return nil, err
	}
	dialer := e.net.Pool(call.Pool)
	if named {
		dialer = dialer.Trusted()
	}
	r.first = dialer.DialContext
	text, err := json.Marshal(struct {
		Pool  string
		Named bool
		Hops  []hop
	}{call.Pool, named, r.hops})
	if err != nil {
		return nil, err
	}
	r.key = sha256.Sum256(text)
	return r, nil
}

func (e *Executor) addHop(r *route, call *executors.Call, t *target, prefix string) error {
	l, err := e.login(call, t, prefix)
	if err != nil {
		return err
	}
	tr, err := e.trust(t, call.Connection != "", prefix)
	if err != nil {
		return err
	}
	r.hops = append(r.hops, hop{net.JoinHostPort(t.Host, strconv.Itoa(t.port())), l, tr})
	return nil
}

// dial opens a connection to each host of the route, through the one before. It returns them with the last one, which is of use, at
// the end; the caller closes them in the reverse order.
func (r *route) dial(ctx context.Context) (clients []*ssh.Client, err error) {
	dial := r.first
	for i := range r.hops {
		client, err := r.hops[i].connect(ctx, dial, r.first)
		if err != nil {
			closeAll(clients)
			return nil, err
		}
		clients = append(clients, client)
		dial = client.DialContext
	}
	return clients, nil
}

func closeAll(clients []*ssh.Client) {
	for _, c := range slices.Backward(clients) {
		_ = c.Close()
	}
}

// connect opens a connection and logs in. It may take several tries to find the kind of key of which only a fingerprint is known.
func (h *hop) connect(ctx context.Context, dial, local dialFunc) (*ssh.Client, error) {
	j, err := h.Trust.judge(h.Address)
	if err != nil {
		return nil, err
	}
	var first error
	for _, kinds := range j.kinds {
		client, err := h.try(ctx, dial, local, j.check, kinds)
		if err == nil {
			return client, nil
		}
		_, wrong := errors.AsType[*mismatchError](err)
		_, none := errors.AsType[*ssh.AlgorithmNegotiationError](err)
		if !wrong && !none {
			return nil, err
		}
		if first == nil || wrong {
			first = err
		}
	}
	return nil, first
}

func (h *hop) try(ctx context.Context, dial, local dialFunc, check ssh.HostKeyCallback, kinds []string) (*ssh.Client, error) {
	conn, err := dial(ctx, "tcp", h.Address)
	if err != nil {
		return nil, h.explain(ctx, "connect", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	client, err := h.handshake(ctx, conn, local, check, kinds)
	if !stop() && err == nil { // ended just then
		err = context.Cause(ctx)
		client.Close()
	}
	if err != nil {
		conn.Close()
		return nil, h.explain(ctx, "log in", err)
	}
	return client, nil
}

func (h *hop) handshake(ctx context.Context, conn net.Conn, local dialFunc, check ssh.HostKeyCallback, kinds []string) (*ssh.Client, error) {
	methods, done, err := h.Login.methods(ctx, local)
	if err != nil {
		return nil, err
	}
	defer done()
	var distrusted, trusted error
	config := &ssh.ClientConfig{
		User: h.Login.User, Auth: methods, ClientVersion: clientVersion, HostKeyAlgorithms: kinds,
		HostKeyCallback: func(name string, remote net.Addr, key ssh.PublicKey) error {
			err := check(name, remote, key)
			if text, ok := distrust(err, key); ok {
				distrusted = &hostKeyError{text, err}
			} else if err != nil {
				distrusted = &hostKeyError{"host key: " + err.Error(), err}
			} else {
				trusted = errTrusted
			}
			return err
		},
	}
	c, channels, requests, err := ssh.NewClientConn(conn, h.Address, config)
	switch {
	case err == nil:
		return ssh.NewClient(c, channels, requests), nil
	case distrusted != nil:
		return nil, distrusted
	case trusted != nil && !isLost(err):
		return nil, &refusedError{err}
	}
	return nil, err
}

var errTrusted = errors.New("host key is trusted")

// hostKeyError: the host's key is not trusted.
type hostKeyError struct {
	text string
	err  error
}

func (e *hostKeyError) Error() string { return e.text }
func (e *hostKeyError) Unwrap() error { return e.err }

// refusedError: the host is the right one, and does not let the user in.
type refusedError struct{ err error }

func (e *refusedError) Error() string {
	text := strings.TrimPrefix(e.err.Error(), "ssh: handshake failed: ")
	text = strings.Replace(text, "unexpected message type 51 (expected 60)", "unable to authenticate", 1) // a refusal where a question was awaited
	return "the host refused the user: " + strings.TrimPrefix(text, "ssh: ")
}

// isLost reports whether a connection broke.
func isLost(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) ||
		strings.Contains(err.Error(), "EOF") // the library wraps some as text
}

// explain says where an error happened, and whether another attempt may help: not if the host's key is not trusted, and not if the host refuses the user.
func (h *hop) explain(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, distrusted := errors.AsType[*hostKeyError](err)
	_, refused := errors.AsType[*refusedError](err)
	_, incapable := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	where := executors.WithKind(fmt.Errorf("%s to %s@%s: %w", doing, h.Login.User, h.Address, err), executors.KindConnect)
	if doing == "connect" {
		where = executors.WithKind(fmt.Errorf("connect to %s: %w", h.Address, err), executors.KindConnect)
	}
	switch {
	case distrusted, refused:
		return executors.Permanent(fmt.Errorf("[%s] %w", ID, where))
	case incapable:
		return executors.Permanent(where)
	case executors.IsPermanent(err) && strings.HasPrefix(err.Error(), "["+ID+"]"): // an input's fault
		return err
	}
	return where
}
