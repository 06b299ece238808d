package bounds_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/bounds"
	"github.com/taskgrove/taskgrove/coordinator"
)

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_000_000, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func as(t *testing.T, user string) context.Context {
	return api.WithCaller(t.Context(), coordinator.Caller{Name: user, User: user, Kind: coordinator.UserCaller})
}

// refused is how long a refusal asks to wait; it fails the test if there is none, or another.
func refused(t *testing.T, err error, reason string) time.Duration {
	t.Helper()
	f, ok := errors.AsType[*api.Fault](err)
	if !ok || f.Kind != api.Limited || f.Reason != reason || f.RetryAfter <= 0 {
		t.Fatalf("got %#v, want a refusal by %s that says when to try again", err, reason)
	}
	return f.RetryAfter
}

// admit counts requests until one is refused.
func admit(b *bounds.Bounds, ctx context.Context, from string, most int) (n int, err error) {
	for ; n < most; n++ {
		if _, err = b.Admit(ctx, from); err != nil {
			return n, err
		}
	}
	return n, nil
}

func TestRequestsOfOneCaller(t *testing.T) {
	c := &clock{}
	told := map[string]int{}
	b := bounds.New(bounds.Config{Rate: 10, Burst: 20, Now: c.now, Refused: func(reason string) { told[reason]++ }})
	n, err := admit(b, as(t, "amy"), "192.0.2.1:1", 100)
	if wait := refused(t, err, bounds.ReasonRate); n != 20 || wait > 100*time.Millisecond || told[bounds.ReasonRate] != 1 {
		t.Errorf("%d were let in, then a wait of %v, told %v; want 20, at most 100ms, once", n, wait, told)
	}
	if n, err := admit(b, as(t, "bob"), "192.0.2.1:1", 20); n != 20 {
		t.Errorf("another caller at the same address got %d, %v", n, err)
	}
	// Neither another address nor a namespace that is merely named makes another caller.
	elsewhere, err := api.InNamespace(as(t, "amy"), []string{"team-b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Admit(elsewhere, "192.0.2.9:9"); err == nil {
		t.Error("the same caller got more by another address or namespace")
	}
	c.advance(time.Second)
	if n, _ := admit(b, as(t, "amy"), "", 100); n != 10 {
		t.Errorf("after a second %d were let in, want 10", n)
	}
	if b := bounds.New(bounds.Config{Burst: 5}); b != nil {
		t.Error("no bounds are some")
	}
}

// TestABatchIsAllOrNothing: one that is larger than a whole bucket waits for a full one, and leaves a debt.
func TestABatchIsAllOrNothing(t *testing.T) {
	c := &clock{}
	b := bounds.New(bounds.Config{Rate: 10, Burst: 20, Now: c.now})
	ctx, err := b.Admit(as(t, "amy"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := api.CountRequests(ctx, 19); err != nil {
		t.Errorf("what fits was refused: %v", err)
	}
	refused(t, api.CountRequests(ctx, 2), bounds.ReasonRate)
	c.advance(100 * time.Millisecond)
	if err := api.CountRequests(ctx, 1); err != nil {
		t.Errorf("a refused batch took something: %v", err)
	}
	if wait := refused(t, api.CountRequests(ctx, 100), bounds.ReasonRate); wait != 2*time.Second {
		t.Errorf("a large batch waits %v, want for a full bucket", wait)
	}
	c.advance(2 * time.Second)
	if err := api.CountRequests(ctx, 100); err != nil {
		t.Fatal(err)
	}
	c.advance(8 * time.Second)
	refused(t, api.CountRequests(ctx, 1), bounds.ReasonRate)
	c.advance(100 * time.Millisecond)
	if err := api.CountRequests(ctx, 1); err != nil {
		t.Errorf("the debt of 80 took more than 8s: %v", err)
	}
}

func TestBytesOfOneCaller(t *testing.T) {
	c := &clock{}
	b := bounds.New(bounds.Config{Bytes: 3600, Now: c.now})
	ctx, err := b.Admit(as(t, "amy"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := api.CountBytes(ctx, 3600); err != nil {
		t.Fatal(err)
	}
	if wait := refused(t, api.CountBytes(ctx, 60), bounds.ReasonBytes); wait != time.Minute {
		t.Errorf("60 bytes wait %v, want a minute", wait)
	}
	c.advance(time.Minute)
	if err := api.CountBytes(ctx, 60); err != nil {
		t.Error(err)
	}
}

// TestStreamsOfOneCaller: whatever opens and closes streams at once, no more than the bound are open, and none is left.
func TestStreamsOfOneCaller(t *testing.T) {
	b := bounds.New(bounds.Config{Streams: 3})
	ctx, err := b.Admit(as(t, "amy"), "")
	if err != nil {
		t.Fatal(err)
	}
	var open, most atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 100 {
				leave, err := api.OpenStream(ctx)
				if err != nil {
					continue
				}
				for n := open.Add(1); ; {
					if seen := most.Load(); n <= seen || most.CompareAndSwap(seen, n) {
						break
					}
				}
				open.Add(-1)
				leave()
				leave() // more than once counts once
			}
		})
	}
	all.Wait()
	if most.Load() > 3 {
		t.Errorf("%d were open at once, want 3 at most", most.Load())
	}
	within, leave, err := api.AsStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // what a stream opens is the stream
		if _, err := api.OpenStream(within); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if _, err := api.OpenStream(ctx); err != nil {
			t.Fatalf("streams that have ended count: %v", err)
		}
	}
	_, err = api.OpenStream(ctx)
	refused(t, err, bounds.ReasonStreams)
	leave()
	if _, err = api.OpenStream(ctx); err != nil {
		t.Error(err)
	}
}

// TestNobodyIsPushedOut: however many callers come, those who have used something of theirs are not forgotten for them; those who come when all is
// full share one account, and idle ones make room.
func TestNobodyIsPushedOut(t *testing.T) {
	c := &clock{}
	b := bounds.New(bounds.Config{Rate: 1, Burst: 2, Streams: 1, MaxCallers: 100, Now: c.now})
	amy, err := b.Admit(as(t, "amy"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Admit(as(t, "amy"), ""); err != nil {
		t.Fatal(err)
	}
	in := 0
	for i := range 1000 {
		if _, err := b.Admit(as(t, fmt.Sprint("stranger", i)), ""); err == nil {
			in++
		}
	}
	if in != 99+2 {
		t.Errorf("%d strangers were let in, want 99 with accounts and 2 that share one", in)
	}
	if _, err := b.Admit(as(t, "amy"), ""); err == nil {
		t.Error("amy was forgotten, and begins anew")
	}
	c.advance(time.Minute)
	if _, err := api.OpenStream(amy); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if i%100 == 0 {
			c.advance(time.Minute) // all are idle but who holds a stream
		}
		if _, err := b.Admit(as(t, fmt.Sprint("later", i)), ""); err != nil {
			t.Fatalf("%d: idle callers made no room: %v", i, err)
		}
	}
	_, err = api.OpenStream(amy)
	refused(t, err, bounds.ReasonStreams)
}

// TestWhoCountsAsOne: without access control, addresses do.
func TestWhoCountsAsOne(t *testing.T) {
	key := func(id string) context.Context {
		return api.WithCaller(t.Context(), coordinator.Caller{Name: "robot", User: "amy", Kind: coordinator.KeyCaller, KeyID: id})
	}
	for name, tt := range map[string]struct {
		first, second     context.Context
		address, address2 string
		same              bool
	}{
		"ports":                {t.Context(), t.Context(), "192.0.2.1:1", "192.0.2.1:2", true},
		"addresses":            {t.Context(), t.Context(), "192.0.2.1:1", "192.0.2.2:1", false},
		"one network of IPv6":  {t.Context(), t.Context(), "[2001:db8::1]:1", "[2001:db8::ffff]:1", true},
		"two networks of IPv6": {t.Context(), t.Context(), "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
		"IPv4 within IPv6":     {t.Context(), t.Context(), "192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		"no address":           {t.Context(), t.Context(), "", "@", true},
		"keys of one user":     {key("k1"), key("k2"), "", "", false},
		"a key and its user":   {key("k1"), as(t, "amy"), "", "", false},
		"user and address":     {as(t, "192.0.2.1"), t.Context(), "192.0.2.1:1", "192.0.2.1:1", false},
	} {
		b := bounds.New(bounds.Config{Rate: 1, Burst: 1, Now: (&clock{}).now})
		if _, err := b.Admit(tt.first, tt.address); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Admit(tt.second, tt.address2); (err != nil) != tt.same {
			t.Errorf("%s: the second got %v, same: %v", name, err, tt.same)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	all := bounds.New(bounds.Config{Rate: 1_000_000, Burst: 1_000_000_000, Streams: 10})
	ctx := api.WithCaller(b.Context(), coordinator.Caller{Name: "amy", User: "amy", Kind: coordinator.UserCaller})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := all.Admit(ctx, "192.0.2.1:1"); err != nil {
			b.Fatal(err)
		}
	}
}
