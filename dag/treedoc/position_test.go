package treedoc_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// Places must be those that counting from the beginning finds, also around its marks and within characters of several bytes.
func TestPlaces(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("a\né\u20ac𝄞 long line ", 2000) + "\n" + strings.Repeat("é", 9000))
	places := treedoc.NewPlaces(text)
	for offset := -1; offset <= len(text)+1; offset += 7 {
		if got, want := places.Of(offset), treedoc.PositionOf(text, offset); got != want {
			t.Fatalf("at %d: got %v, want %v", offset, got, want)
		}
	}
}
