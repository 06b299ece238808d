package apitest_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
)

func TestLibraryPhrases(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"internal error FOEOF2RRCPIF":        0, // a random number
		"tasks[0].name is required":          0,
		"read: unexpected EOF":               1,
		"EOF":                                1,
		"pgx: SQLSTATE 40001 (EOF)":          3,
		"dial tcp 127.0.0.1:1: rpc error: x": 2,
	} {
		if got := apitest.LibraryPhrases(text); len(got) != want {
			t.Errorf("%q: got %q, want %d phrases", text, got, want)
		}
	}
}
