package worker

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/taskgrove/taskgrove/executors"
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

// TestNamesOfFilesHoldNoSecret: the name of an artifact is stored as it is, so one with a secret in it is refused before anything is sent, in words without it.
func TestNamesOfFilesHoldNoSecret(t *testing.T) {
	const secret = "T0P-s3cr3t/of bytes"
	a := &attempt{}
	a.out.redactor.Store(secrets.NewRedactor(secret, "data"))
	f := &files{a: a}
	for _, name := range []string{secret, "a/" + secret + ".csv", url.QueryEscape(secret), "x-" + base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
		for _, file := range []executors.SavedFile{{Name: name}, {Name: name, Output: true}, {Name: name, Unlisted: true}} {
			_, err := f.Save(t.Context(), file, strings.NewReader("x"))
			if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), "its name has a secret in it") || strings.Contains(err.Error(), name) {
				t.Errorf("%+v: %v", file, err)
			}
		}
	}
	if r := a.out.redact(); r.Shows("data.csv") || r.Shows("T0P-report.txt") || !r.Shows(secret) {
		t.Error("a short secret, or a part of one, counts")
	}
}
