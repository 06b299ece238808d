package workers_test

import (
	"bytes"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
)

func TestTokens(t *testing.T) {
	tokens := workers.NewTokens([]byte("secret"))
	good := tokens.Of(7, 2)
	if len(good) != 16 {
		t.Errorf("the token has %d bytes, want 16", len(good))
	}
	for _, row := range []struct {
		fact  string
		token []byte
		want  bool
	}{
		{"the attempt's own", good, true},
		{"of another coordinator of the cluster", workers.NewTokens([]byte("secret")).Of(7, 2), true},
		{"of the next attempt", tokens.Of(7, 3), false},
		{"of another task", tokens.Of(8, 2), false},
		{"under another secret", workers.NewTokens([]byte("other")).Of(7, 2), false},
		{"cut short", good[:15], false},
		{"with more behind it", append(bytes.Clone(good), 0), false},
		{"none", nil, false},
	} {
		if got := tokens.Valid(7, 2, row.token); got != row.want {
			t.Errorf("%s: valid is %v, want %v", row.fact, got, row.want)
		}
	}
}

func TestClaim(t *testing.T) {
	tokens := workers.NewTokens([]byte("secret"))
	good, bad := tokens.Of(7, 2), tokens.Of(7, 1)
	for _, row := range []struct {
		fact    string
		token   []byte
		who     workers.Instance
		want    dag.Verdict
		decided bool
	}{
		{"a wrong token is refused", bad, workers.Instance{Key: 1}, dag.No, true},
		{"a wrong token is refused, whoever sends it", bad, workers.Instance{}, dag.No, true},
		{"an instance that is not registered has to beat first", good, workers.Instance{}, dag.Undecided, true},
		{"the row decides about the others", good, workers.Instance{Key: 1}, dag.Undecided, false},
	} {
		if got, decided := tokens.Claim(7, 2, row.token, row.who); got != row.want || decided != row.decided {
			t.Errorf("%s: got %v, decided %v, want %v, %v", row.fact, got, decided, row.want, row.decided)
		}
	}
}
