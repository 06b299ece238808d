package ledger

import "testing"

// answers counts how a delivery was answered.
type answers struct{ acks, naks int }

func (a *answers) Ack() { a.acks++ }
func (a *answers) Nak() { a.naks++ }

// TestBundle: a message of several attempts is answered once all are, and comes again if one of them is to.
func TestBundle(t *testing.T) {
	for _, row := range []struct {
		fact     string
		attempts int
		given    string // a: acknowledged; n: given back
		want     answers
	}{
		{"one attempt", 1, "a", answers{1, 0}},
		{"one attempt that is given back", 1, "n", answers{0, 1}},
		{"not all are decided", 3, "aa", answers{}},
		{"all are decided", 3, "aaa", answers{1, 0}},
		{"the first is given back", 3, "naa", answers{0, 1}},
		{"the last is given back", 3, "aan", answers{0, 1}},
		{"one is given back, and not all are decided", 3, "na", answers{}},
	} {
		var got answers
		m := Bundle(&got, row.attempts)
		for _, c := range row.given {
			if c == 'a' {
				m.Ack()
			} else {
				m.Nak()
			}
		}
		if got != row.want {
			t.Errorf("%s: got %+v, want %+v", row.fact, got, row.want)
		}
	}
}
