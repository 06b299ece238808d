package dag

import "time"

// clockSkew is how far the clocks of Postgres and NATS may differ.
const clockSkew = time.Second

// Gone reports whether the message of a task that was published at sent is gone: nothing is left in its lane, or only what
// came later. oldest is when the oldest message was published that lies in the lane; zero: there is none. A worker takes
// no message without a claim, and acknowledges it only when that is decided.
func Gone(sent, oldest time.Time) bool {
	return oldest.IsZero() || oldest.After(sent.Add(clockSkew))
}
