package attemptkey_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/attemptkey"
)

func key(t testing.TB, generation uint32, fill byte) *attemptkey.Key {
	t.Helper()
	k, err := attemptkey.New(generation, bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var place = attemptkey.Place{Kind: attemptkey.Part, Task: 7, Attempt: 2, Index: 1, Of: 3}

func TestWhoHasTheKeyOpensAtThePlace(t *testing.T) {
	t.Parallel()
	k := key(t, 5, 'k')
	envelope := k.Seal(place, []byte("canary"))
	if bytes.Contains(envelope, []byte("canary")) || len(envelope) != len("canary")+attemptkey.Overhead {
		t.Fatalf("the envelope is %q", envelope)
	}
	same, err := attemptkey.Parse(k.Raw())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := same.Open(place, envelope); err != nil || string(got) != "canary" {
		t.Errorf("got %q, %v", got, err)
	}
	if g, ok := attemptkey.Generation(envelope); !ok || g != 5 {
		t.Errorf("its generation is %d, %v", g, ok)
	}
	elsewhere := map[string]attemptkey.Place{}
	for name, change := range map[string]func(*attemptkey.Place){
		"kind": func(p *attemptkey.Place) { p.Kind = attemptkey.Result }, "task": func(p *attemptkey.Place) { p.Task++ },
		"attempt": func(p *attemptkey.Place) { p.Attempt++ }, "index": func(p *attemptkey.Place) { p.Index++ }, "of": func(p *attemptkey.Place) { p.Of++ },
	} {
		other := place
		change(&other)
		elsewhere[name] = other
	}
	for name, other := range elsewhere {
		if _, err := k.Open(other, envelope); !errors.Is(err, attemptkey.ErrOpen) {
			t.Errorf("another %s: got %v", name, err)
		}
	}
	for name, other := range map[string]*attemptkey.Key{"secret": key(t, 5, 'x'), "generation": key(t, 6, 'k')} {
		if _, err := other.Open(place, envelope); !errors.Is(err, attemptkey.ErrOpen) {
			t.Errorf("another %s: got %v", name, err)
		}
	}
	if again := k.Seal(place, []byte("canary")); bytes.Equal(again, envelope) {
		t.Error("sealed twice it is the same")
	}
}

func TestKeysShowNothing(t *testing.T) {
	t.Parallel()
	k := key(t, 5, 'k')
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", k)
	asJSON, _ := json.Marshal(map[string]any{"key": k})
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %x", k, k, k, k, k), log.String(), string(asJSON)} {
		if strings.Contains(shown, "kkk") || strings.Contains(shown, "6b6b") || strings.Contains(shown, "107") || !strings.Contains(shown, "***") {
			t.Errorf("it shows %q", shown)
		}
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 32, 35, 37} {
		if _, err := attemptkey.Parse(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are a key", n)
		}
	}
	if _, err := attemptkey.New(0, make([]byte, 16)); err == nil {
		t.Error("16 bytes are a secret")
	}
}

// FuzzOpen: whatever comes, nothing opens that was not sealed for the place, and nothing panics.
func FuzzOpen(f *testing.F) {
	k := key(f, 5, 'k')
	good := k.Seal(place, []byte("canary"))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{1, 0, 0, 0, 5})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, envelope []byte) {
		got, err := k.Open(place, envelope)
		if (err == nil) != bytes.Equal(envelope, good) && err == nil {
			t.Errorf("%x opens as %q", envelope, got)
		}
	})
}
