package workers_test

import (
	"bytes"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
)

func generation(number uint32, secret string, claims, proves bool) workers.Generation {
	return workers.Generation{Number: number, Secret: []byte(secret), Claims: claims, Proves: proves}
}

// TestTokensOfSeveralGenerations: the latest signs; those before prove as long as they may.
func TestTokensOfSeveralGenerations(t *testing.T) {
	t.Parallel()
	first := workers.NewTokens([]byte("first"))
	both := workers.NewTokens([]byte("first"))
	both.Use([]workers.Generation{generation(1, "second", true, true), generation(0, "first", true, true)})
	if got := both.Of(7, 2); len(got) != 20 || bytes.Equal(got[4:], first.Of(7, 2)) {
		t.Fatalf("signed: %x", got)
	}
	for _, row := range []struct {
		fact  string
		by    *workers.Tokens
		token []byte
		want  workers.Proof
	}{
		{"the current one's", both, both.Of(7, 2), workers.Proved},
		{"the one's before", both, first.Of(7, 2), workers.Proved},
		{"a later one's than is known", first, both.Of(7, 2), workers.Unknown},
		{"another attempt's", both, both.Of(7, 3), workers.Forged},
		{"the MAC of another generation", both, append([]byte{0, 0, 0, 1}, first.Of(7, 2)...), workers.Forged},
		{"generation 0 by number", both, append([]byte{0, 0, 0, 0}, first.Of(7, 2)...), workers.Forged},
		{"cut", both, both.Of(7, 2)[:19], workers.Forged},
	} {
		if got := row.by.Check(7, 2, row.token); got != row.want {
			t.Errorf("%s: proves %d, want %d", row.fact, got, row.want)
		}
	}
	both.Use([]workers.Generation{generation(0, "first", false, false), generation(1, "second", false, true), generation(2, "third", true, true)})
	second := workers.NewTokens(nil)
	second.Use([]workers.Generation{generation(1, "second", true, true)})
	if got := both.Check(7, 2, first.Of(7, 2)); got != workers.Retired {
		t.Errorf("a retired one's proves %d", got)
	}
	if v, decided := both.Claim(7, 2, second.Of(7, 2), workers.Instance{Key: 1}); v != dag.No || !decided || !both.Valid(7, 2, second.Of(7, 2)) {
		t.Errorf("what may claim no more: %v, %v", v, decided)
	}
	if v, decided := first.Claim(7, 2, second.Of(7, 2), workers.Instance{Key: 1}); v != dag.Undecided || !decided {
		t.Errorf("a later one's: %v, %v", v, decided)
	}
	both.Use([]workers.Generation{generation(2, "third", true, true)})
	if got := both.Check(7, 2, second.Of(7, 2)); got != workers.Retired {
		t.Errorf("one that is gone proves %d", got)
	}
}

// TestKeysOfAttempts: each attempt has its own in each generation, which all who know the secret derive.
func TestKeysOfAttempts(t *testing.T) {
	t.Parallel()
	one, two := workers.NewTokens([]byte("first")), workers.NewTokens([]byte("first"))
	key := one.Key(7, 2, one.Of(7, 2)).Raw()
	if !bytes.Equal(key, two.KeyIn(0, 7, 2).Raw()) {
		t.Error("another coordinator derives another key")
	}
	if bytes.Contains(key, one.Of(7, 2)) {
		t.Error("the token is a part of the key")
	}
	two.Use([]workers.Generation{generation(0, "first", true, true), generation(1, "second", true, true)})
	for fact, other := range map[string][]byte{"attempt": one.KeyIn(0, 7, 3).Raw(), "task": one.KeyIn(0, 8, 2).Raw(), "generation": two.Key(7, 2, two.Of(7, 2)).Raw()} {
		if bytes.Equal(key, other) {
			t.Errorf("another %s has the same key", fact)
		}
	}
	if one.KeyIn(1, 7, 2) != nil {
		t.Error("there is a key of a generation that is not known")
	}
}
