package worker

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/taskgrove/taskgrove/executors/secrets"
)

// An output that becomes an artifact has no secrets, wherever a read ends.
func TestOutputsAreKeptWithoutSecrets(t *testing.T) {
	const key = "correct-horse-battery"
	fill := strings.Repeat("x", 64<<10-5)
	text := fill + key + "\n" + fill + key
	for what, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "the end with the data": iotest.DataErrReader} {
		c, err := withoutSecrets(secrets.NewRedactor(key), wrap(strings.NewReader(text)), int64(len(text)))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got, err := io.ReadAll(c)
		if want := fill + "***\n" + fill + "***"; err != nil || string(got) != want || c.size != int64(len(want)) {
			t.Errorf("%s: %d bytes of %d, %v", what, len(got), c.size, err)
		}
		_ = c.Close()
	}
	for what, r := range map[string]io.Reader{"short": strings.NewReader("ab"), "broken": iotest.ErrReader(errors.New("gone"))} {
		if _, err := withoutSecrets(secrets.NewRedactor(key), r, 3); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
