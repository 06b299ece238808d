package pg

import (
	"errors"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/internal/sealed"
)

// TestProcessesAgreeOnDataKeys: whoever makes or rotates a namespace's key at the same time, there is one that is current.
func TestProcessesAgreeOnDataKeys(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	master, err := sealed.New(sealed.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	use := sealed.Use{Namespace: 0, Kind: "payload"}
	for round, do := range []func(*sealed.Keyring) error{
		func(r *sealed.Keyring) error { _, err := r.Seal(t.Context(), use, []byte("x")); return err },
		func(r *sealed.Keyring) error { _, err := r.Rotate(t.Context(), 0); return err },
	} {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := do(sealed.NewKeyring(master, s.DataKeys())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		keys, err := s.DataKeys().AllKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		current := 0
		for _, k := range keys {
			if k.Retired == nil {
				current++
			}
		}
		if current != 1 || round == 0 && len(keys) != 1 {
			t.Errorf("round %d: %d of %d keys are current", round, current, len(keys))
		}
	}
	other, _ := sealed.New(sealed.NewKey())
	if err := sealed.NewKeyring(other, s.DataKeys()).Verify(t.Context()); !errors.Is(err, sealed.ErrNoKey) {
		t.Errorf("a wrong master key: got %v", err)
	}
	both, _ := sealed.New(sealed.NewKey())
	if n, err := sealed.NewKeyring(both, s.DataKeys()).Rewrap(t.Context()); n != 0 || !errors.Is(err, sealed.ErrNoKey) {
		t.Errorf("rewrapped %d with a wrong master key: %v", n, err)
	}
}
