package pg

import "testing"

// TestCaution: when optimistic transactions are refused again and again, they are hardly tried, until they succeed again.
func TestCaution(t *testing.T) {
	var c caution
	tried := func(n int, refused bool) (tries int) {
		for range n {
			if c.mayTry() {
				tries++
				c.note(refused)
			}
		}
		return tries
	}
	if n := tried(1000, false); n != 1000 {
		t.Errorf("%d of 1000 were tried though none is refused", n)
	}
	if n := tried(100_000, true); n < 50 || n > 150 {
		t.Errorf("%d of 100000 were tried though all are refused", n)
	}
	tried(2000, false)
	if n := tried(1000, false); n != 1000 {
		t.Errorf("%d of 1000 were tried though none is refused any more", n)
	}
}
