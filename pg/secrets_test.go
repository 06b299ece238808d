package pg

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// generations shows those that there are: c for one that may claim, p for one that proves, - for one that only opens logs.
func (h *twoStores) generations() (out string) {
	h.t.Helper()
	list, err := h.s.TokenSecrets(h.t.Context(), 10*time.Minute)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, g := range list {
		shown := "-"
		if g.Proves {
			shown = "p"
		}
		if g.Claims {
			shown = "c"
		}
		out += fmt.Sprint(g.Number, shown, " ")
	}
	return out
}

func (h *twoStores) exec(query string, args ...any) {
	h.t.Helper()
	if _, err := h.s.pool.Exec(h.t.Context(), query, args...); err != nil {
		h.t.Fatal(err)
	}
}

// TestASecretOfTokensRetires only when nobody can have an attempt that was claimed with it, and is forgotten with the logs that it opens.
func TestASecretOfTokensRetires(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	h := twoStoresAt(t, url, 1)
	ctx := t.Context()
	h.s.SetLevels(dag.AllLevels, "test")
	h.exec("update worker set level = $1", dag.AccessLevel)
	add := func(latest int32, want bool) {
		t.Helper()
		if added, err := h.s.AddTokenSecret(ctx, latest, []byte{byte(latest)}, false); err != nil || added != want {
			t.Fatalf("the generation after %d: added %v, %v", latest, added, err)
		}
	}
	want := func(when, want string) {
		t.Helper()
		if _, err := h.s.RetireTokenSecrets(ctx, 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := h.generations(); got != want {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	want("at first", "0c ")
	add(0, true)
	add(0, false) // another process was faster
	want("after a rotation", "0c 1c ")
	w := h.begin("runs")
	if got := h.claimFirst(w); got != dag.Yes {
		t.Fatalf("claimed: %v", got)
	}
	h.exec("update worker set attempts = array[$1::bigint]", int64(w.Key))
	h.exec("update token_secret set superseded_at = now() - interval '11 minutes' where number = 0")
	want("when its messages may not be claimed any more", "0p 1c ")
	h.exec("update token_secret set superseded_at = now() - interval '1 day' where number = 0")
	h.exec("update task set started_at = now() - interval '1 day' where key = $1", w.Key)
	want("while an attempt runs that was claimed with it", "0p 1c ")
	h.exec("update task set started_at = now() - interval '1 hour' where key = $1", w.Key)
	h.exec("insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts, level) values ('x', 'x', '', '', '{}', 4, 1, now(), '{}', 7)")
	want("while a lost worker may have had attempts", "0p 1c ")
	h.exec("update worker set attempts = '{-1}' where id = 'x'")
	want("when all was claimed later", "0- 1c ")

	if err := h.s.ForgetTokenSecrets(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	want("while there are logs", "0- 1c ")
	h.exec("update token_secret set retired_at = now() - interval '2 hours' where number = 0")
	if err := h.s.ForgetTokenSecrets(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	want("when the logs are gone", "1c ")
	again, err := Open(ctx, Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	want("after a restart", "1c ")
	if bytes.Equal(again.Secret(), h.s.Secret()) {
		t.Error("the first secret is still there")
	}
	for n := int32(1); n < MaxTokenSecrets; n++ {
		add(n, true)
	}
	add(MaxTokenSecrets, false)
}
