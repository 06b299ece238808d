package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// TestRedactionsAreOfTheLastAttempts, a bounded number.
func TestRedactionsAreOfTheLastAttempts(t *testing.T) {
	r := &redactions{}
	r.add(nil)
	for i := range mostRedactions + 1 {
		r.add(func(text string) string { return strings.ReplaceAll(text, fmt.Sprintf("secret-%d;", i), "***") })
	}
	if got := r.text(fmt.Sprintf("secret-1; secret-%d; secret-0;", mostRedactions)); got != "*** *** secret-0;" || len(r.all) != mostRedactions {
		t.Errorf("got %q of %d", got, len(r.all))
	}
}
