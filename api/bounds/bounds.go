// Package bounds counts what each caller asks of one process, and says when that is too much: requests, bytes that were sent, and streams at once.
//
// It owns who counts as one caller, the buckets, and what is remembered of how many callers. It must not know any surface: those ask by [api.Account].
package bounds

import (
	"container/list"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Config are the bounds of one caller in this process.
type Config struct {
	Rate    int   // requests in a second; 0: any number
	Burst   int   // requests at once, after a while without any; default: twice the rate
	Streams int   // streams and waiting calls at once; 0: any number
	Bytes   int64 // of requests in an hour; 0: any number

	MaxCallers int                 // that are remembered; default 10 000
	Refused    func(reason string) // is told of each refusal; default: nobody is
	Now        func() time.Time    // default: time.Now
}

// Reasons of refusals, for programs and metrics.
const (
	ReasonRate    = "RATE_LIMITED"
	ReasonStreams = "TOO_MANY_STREAMS"
	ReasonBytes   = "TOO_MANY_BYTES"
)

// Bounds counts. Safe for concurrent use.
type Bounds struct {
	cfg Config

	mu      sync.Mutex
	callers map[string]*list.Element // guarded by mu; of *account
	order   *list.List               // guarded by mu; used last first
	others  *account                 // of all for whom there is no room
}

// New makes bounds. nil: the configuration has none.
func New(cfg Config) *Bounds {
	if cfg.Rate == 0 && cfg.Streams == 0 && cfg.Bytes == 0 {
		return nil
	}
	if cfg.Burst == 0 {
		cfg.Burst = 2 * cfg.Rate
	}
	if cfg.MaxCallers == 0 {
		cfg.MaxCallers = 10_000
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	b := &Bounds{cfg: cfg, callers: map[string]*list.Element{}, order: list.New()}
	b.others = b.newAccount("")
	return b
}

// Admit is an [api.Admit]. The caller is who the context says, wherever it asks: a namespace that a request merely names makes nobody another
// caller. Where nobody is known it is the address, without its port; of IPv6 the network of 64 bits, which is one customer's.
func (b *Bounds) Admit(ctx context.Context, from string) (context.Context, error) {
	v := visit{b, keyOf(ctx, from)}
	if err := v.Requests(1); err != nil {
		return ctx, err
	}
	return api.WithAccount(ctx, v), nil
}

func keyOf(ctx context.Context, from string) string {
	if api.Identified(ctx) {
		who := api.CallerOf(ctx, "", from)
		name := who.User
		switch {
		case who.KeyID != "":
			name = who.KeyID
		case name == "":
			name = who.Name
		}
		return strings.Join([]string{string(who.Kind), who.Issuer, name}, "\x00")
	}
	host, _, err := net.SplitHostPort(from)
	if err != nil {
		host = from
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return string(coordinator.AnonymousCaller)
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return "net\x00" + network.String()
		}
	}
	return "net\x00" + addr.String()
}

// account is one caller's.
type account struct {
	key      string
	requests *rate.Limiter
	bytes    *rate.Limiter
	streams  int // guarded by Bounds.mu
}

const hour = 3600 // seconds

func (b *Bounds) newAccount(key string) *account {
	a := &account{key: key, requests: rate.NewLimiter(rate.Limit(b.cfg.Rate), b.cfg.Burst)}
	a.bytes = rate.NewLimiter(rate.Limit(float64(b.cfg.Bytes)/hour), int(b.cfg.Bytes))
	return a
}

// account is the caller's, made if need be. A caller with something on its account is never forgotten for another; when there is no room, those that come
// share one account.
func (b *Bounds) account(key string, now time.Time) *account {
	if at, ok := b.callers[key]; ok {
		b.order.MoveToFront(at)
		return at.Value.(*account)
	}
	if len(b.callers) >= b.cfg.MaxCallers && !b.forget(now) {
		return b.others
	}
	a := b.newAccount(key)
	b.callers[key] = b.order.PushFront(a)
	return a
}

// looks is how many callers are looked at for one that can be forgotten.
const looks = 8

// forget forgets a caller of whom there is nothing to remember, of those used longest ago. Others of them go to the front, so that they keep nobody
// else in.
func (b *Bounds) forget(now time.Time) bool {
	for range looks {
		at := b.order.Back()
		a := at.Value.(*account)
		if a.streams == 0 && a.requests.TokensAt(now) >= float64(b.cfg.Burst) && a.bytes.TokensAt(now) >= float64(b.cfg.Bytes) {
			b.order.Remove(at)
			delete(b.callers, a.key)
			return true
		}
		b.order.MoveToFront(at)
	}
	return false
}

// visit is a request of a caller. It implements [api.Account].
type visit struct {
	b   *Bounds
	key string
}

// Requests implements [api.Account].
func (v visit) Requests(n int) error {
	if v.b.cfg.Rate == 0 {
		return nil
	}
	return v.take(ReasonRate, n, func(a *account) *rate.Limiter { return a.requests }, "too many requests: %d a second is the bound of one caller", v.b.cfg.Rate)
}

// Bytes implements [api.Account].
func (v visit) Bytes(n int64) error {
	if v.b.cfg.Bytes == 0 {
		return nil
	}
	return v.take(ReasonBytes, int(n), func(a *account) *rate.Limiter { return a.bytes }, "too many bytes: %d an hour is the bound of one caller", v.b.cfg.Bytes)
}

// take takes n out of a bucket, or nothing. What is more than a whole bucket needs a full one, and leaves a debt.
func (v visit) take(reason string, n int, of func(*account) *rate.Limiter, text string, bound any) error {
	v.b.mu.Lock()
	defer v.b.mu.Unlock()
	now := v.b.cfg.Now()
	bucket := of(v.b.account(v.key, now))
	first := bucket.ReserveN(now, min(n, bucket.Burst()))
	if wait := first.DelayFrom(now); wait > 0 {
		first.CancelAt(now)
		v.b.cfg.Refused(reason)
		return limited(reason, wait, text, bound)
	}
	for n -= bucket.Burst(); n > 0; n -= bucket.Burst() {
		bucket.ReserveN(now, min(n, bucket.Burst()))
	}
	return nil
}

// Stream implements [api.Account].
func (v visit) Stream() (leave func(), err error) {
	b := v.b
	if b.cfg.Streams == 0 {
		return func() {}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(v.key, b.cfg.Now())
	if a.streams >= b.cfg.Streams {
		b.cfg.Refused(ReasonStreams)
		return func() {}, limited(ReasonStreams, time.Second, "too many streams: %d at once is the bound of one caller", b.cfg.Streams)
	}
	a.streams++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		a.streams--
	}), nil
}

func limited(reason string, wait time.Duration, text string, bound any) error {
	return &api.Fault{Kind: api.Limited, Reason: reason, Text: fmt.Sprintf(text, bound), RetryAfter: wait}
}
