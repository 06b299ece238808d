package ledger

import "sync/atomic"

// bundle is a delivery of a message of several attempts: it is answered when each of them is.
type bundle struct {
	message Message
	left    atomic.Int32
	nak     atomic.Bool
}

// Bundle is what stands for the message in each of its attempts. When one of them is to be delivered again, all are: the others
// are then known to be decided. Safe for concurrent use.
func Bundle(m Message, attempts int) Message {
	if attempts == 1 {
		return m
	}
	b := &bundle{message: m}
	b.left.Store(int32(attempts))
	return b
}

// Ack implements [Message].
func (b *bundle) Ack() { b.answer() }

// Nak implements [Message].
func (b *bundle) Nak() {
	b.nak.Store(true)
	b.answer()
}

func (b *bundle) answer() {
	switch {
	case b.left.Add(-1) > 0:
	case b.nak.Load():
		b.message.Nak()
	default:
		b.message.Ack()
	}
}
