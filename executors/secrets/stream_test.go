package secrets_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/secrets"
)

// TestAStreamHidesWhatIsSpreadOverItsParts, however the text is divided.
func TestAStreamHidesWhatIsSpreadOverItsParts(t *testing.T) {
	t.Parallel()
	const key = "sk-canary-7Fq2Lw9Zx4Rt8Vb1"
	r := secrets.NewRedactor(key)
	text := "Some sk- and then " + key + ", " + key + key + " and sk-canary-7Fq2Lw"
	want := "Some sk- and then ***, ****** and ***"
	for size := 1; size <= len(text); size++ {
		s, got := r.Stream(), ""
		for at := 0; at < len(text); at += size {
			part := s.Write(text[at:min(at+size, len(text))])
			got += part
		}
		if got += s.Rest(); got != want {
			t.Errorf("in parts of %d: got %q", size, got)
		}
	}
	s := r.Stream()
	if got := s.Write("Nothing of the kind."); got != "Nothing of the kind." {
		t.Errorf("held back: %q", got)
	}
	if got := s.Write(strings.Repeat("sk-canary-", 1000)); len(got) < 9_000 {
		t.Errorf("held back all but %d bytes", len(got))
	}
	none := secrets.NewRedactor().Stream()
	if got := none.Write("x") + none.Rest(); got != "x" {
		t.Errorf("without secrets: got %q", got)
	}
}
