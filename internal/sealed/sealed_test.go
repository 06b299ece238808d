package sealed_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/sealed"
)

func box(t testing.TB, keys ...string) *sealed.Box {
	t.Helper()
	b, err := sealed.New(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhoHasTheKeyAndTheOwnerOpens(t *testing.T) {
	t.Parallel()
	old, other := sealed.NewKey(), sealed.NewKey()
	text, err := box(t, old).Seal([]byte("canary"), "hook 1")
	if err != nil || bytes.Contains(text, []byte("canary")) {
		t.Fatalf("sealed it is %q, %v", text, err)
	}
	if got, err := box(t, other, old).Open(text, "hook 1"); err != nil || string(got) != "canary" {
		t.Errorf("after a rotation: got %q, %v", got, err)
	}
	if _, err := box(t, other).Open(text, "hook 1"); !errors.Is(err, sealed.ErrNoKey) {
		t.Errorf("with another key: got %v", err)
	}
	if _, err := box(t).Open(text, "hook 1"); !errors.Is(err, sealed.ErrNoKey) {
		t.Errorf("without a key: got %v", err)
	}
	if _, err := box(t, old).Open(text, "hook 2"); err == nil {
		t.Error("another owner opened it")
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if _, err := box(t, old).Open(bad, "hook 1"); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
	}
	if again, _ := box(t, old).Seal([]byte("canary"), "hook 1"); bytes.Equal(again, text) {
		t.Error("sealed twice it is the same")
	}
}

func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"SHORT", sealed.NewKey() + ",SHORT", strings.Repeat("A", 64)} {
		if _, err := sealed.New(bad); err == nil || strings.Contains(err.Error(), "SHORT") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	if b, err := sealed.New(" \n"); b.Can() || err != nil {
		t.Errorf("no keys: got %v, %v", b, err)
	}
	if _, err := box(t).Seal(nil, ""); !errors.Is(err, sealed.ErrNoKey) {
		t.Errorf("sealed without a key: %v", err)
	}
}
