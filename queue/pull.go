package queue

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// asks are our pending requests in the server, all answered on one subscription. The server forgets them when the connection
// breaks or the subscription ends.
type asks struct {
	sub      *nats.Subscription
	inbox    string                // reply subjects are this followed by a priority
	epoch    context.Context       // when it ends, the server has forgotten the requests
	out      [priorities]int       // messages that were requested and have not come; 0: no request is pending
	waits    [priorities]bool      // the request waits for a message; otherwise it answers if there is none
	deadline [priorities]time.Time // by when an answer must come
	sent     int                   // requests
}

// fetching reports whether immediate answers are expected.
func (t *Taker) fetching() bool {
	if t.asks == nil {
		return false
	}
	for p, out := range t.asks.out {
		if out > 0 && !t.asks.waits[p] {
			return true
		}
	}
	return false
}

// lost reports whether the server has forgotten the requests: it reconnected, or an answer is overdue.
func (t *Taker) lost() bool {
	if t.asks.epoch.Err() != nil {
		return true
	}
	now := time.Now()
	for p, out := range t.asks.out {
		if out > 0 && now.After(t.asks.deadline[p]) {
			return true
		}
	}
	return false
}

// overdue notes the requests without an answer in time.
func (t *Taker) overdue() {
	now := time.Now()
	for p, out := range t.asks.out {
		if out > 0 && now.After(t.asks.deadline[p]) {
			t.fail("NATS does not answer", p)
		}
	}
}

// fail notes what is wrong with requests.
func (t *Taker) fail(what string, failed ...int) {
	for _, p := range failed {
		if t.failing[p].IsZero() {
			t.failing[p] = time.Now()
		}
		t.failure[p] = what
	}
}

// worn reports whether the subscription has served long enough and no request is pending.
func (t *Taker) worn() bool {
	return t.asks.sent >= wornAfter && t.asks.out == [priorities]int{}
}

// stands reports whether a request for the priority is pending.
func (t *Taker) stands(p int) bool { return t.asks != nil && t.asks.out[p] > 0 }

// request asks the consumer of a priority for n messages: those that it has, or with wait also those that come.
func (t *Taker) request(p, n int, wait bool) error {
	if t.asks == nil {
		if err := t.open(); err != nil {
			return err
		}
	}
	body := make([]byte, 0, 64)
	body = append(body, `{"batch":`...)
	body = strconv.AppendInt(body, int64(n), 10)
	due := answerTime
	if wait {
		body = append(body, `,"expires":`...)
		body = strconv.AppendInt(body, int64(pollTime), 10)
		body = append(body, ","+confirmField...)
		if !t.relayed { // else the coordinator confirms it soon
			due += pollTime
		}
	} else {
		body = append(body, `,"no_wait":true`...)
	}
	body = append(body, '}')
	if err := t.conn.nc.PublishRequest(t.subjects[p], t.asks.inbox+strconv.Itoa(p), body); err != nil {
		return err
	}
	t.asks.sent++
	t.asks.out[p] = n
	t.asks.waits[p] = wait
	t.asks.deadline[p] = time.Now().Add(due)
	return nil
}

func (t *Taker) open() error {
	a := &asks{inbox: t.conn.nc.NewInbox() + ".", epoch: t.conn.currentEpoch()}
	sub, err := t.conn.nc.Subscribe(a.inbox+"*", func(m *nats.Msg) { t.onMessage(a, m) })
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil { // the requests bound it
		return err
	}
	a.sub = sub
	t.asks = a
	return nil
}

// refuse pauses priorities whose requests were refused, longer each time.
func (t *Taker) refuse(refused ...int) {
	now := time.Now()
	for _, p := range refused {
		pause := max(t.retry[p], retryFirst)
		t.retry[p] = min(2*pause, retryMost)
		t.resume[p] = now.Add(pause)
		t.known[p] = likely
	}
}

// relent ends all pauses after a reconnection, perhaps to another server.
func (t *Taker) relent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retry = [priorities]time.Duration{}
	t.resume = [priorities]time.Time{}
	t.relayed = false
	t.failing = [priorities]time.Time{}
}

// onMessage runs in the subscription's goroutine.
func (t *Taker) onMessage(a *asks, m *nats.Msg) {
	p := int(m.Subject[len(m.Subject)-1] - '0') // reply subjects and work subjects both end in the priority
	if p < 0 || p >= priorities {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.Reply == "" {
		if t.asks == a {
			t.onStatus(a, p, m.Header.Get("Status"))
			t.notify()
		}
		return
	}
	if t.asks != a || !t.taking && t.held >= t.free {
		respond(m, nakBody)
		if t.asks == a {
			a.out[p] = max(0, a.out[p]-1)
			t.known[p] = more
		}
		return
	}
	info := deliveryOf(m)
	t.got[p] = append(t.got[p], &WorkDelivery{
		Pool: t.pool, Priority: p, Data: m.Data, Header: m.Header, Delivered: info.delivered, msg: m,
	})
	t.held++
	t.retry[p] = 0
	t.failing[p] = time.Time{}
	t.known[p] = empty
	if info.pending > 0 {
		t.known[p] = more
	}
	a.out[p] = max(0, a.out[p]-1)
	if !t.fetching() {
		t.notify()
	}
}

// onStatus handles an answer that has no message. Its codes are those of JetStream's pull protocol (ADR-37 of the NATS
// project).
func (t *Taker) onStatus(a *asks, p int, status string) {
	if status == "100" { // a coordinator has relayed a waiting request
		t.relayed = true
		if a.waits[p] {
			a.deadline[p] = time.Now().Add(pollTime + answerTime)
		}
		return
	}
	a.out[p] = 0
	switch status {
	case "404", "408": // there are no messages, or none came in time, or all are promised to others
		t.known[p] = empty
		t.retry[p] = 0
		t.failing[p] = time.Time{}
	default: // 503: no such consumer; 409: it was deleted, moves or has too many requests; 400: the request is malformed
		what := "NATS answers with status " + status
		if status == "503" {
			what = "NATS has no consumer for the pool, which coordinators make"
		}
		t.fail(what, p)
		t.refuse(p)
	}
}

func (t *Taker) notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
