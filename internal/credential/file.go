// Package credential reads what a process proves itself with: passwords, certificates and keys, in files or printed by a command.
//
// It owns the bounds of reading, errors that name the setting, and that a change counts without a restart. It must not know what a
// credential is shown to.
package credential

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// MaxBytes is how large a file with a credential may be. Bundles of authorities are the largest: those of Debian have 220 KiB.
const MaxBytes = 1 << 20

// Error says which setting gives no credential. Its text holds nothing of the credential.
type Error struct {
	Setting string // as the operator typed it
	Reason  error
}

// Error names the setting and the reason.
func (e *Error) Error() string { return e.Setting + ": " + e.Reason.Error() }

// Unwrap is the reason.
func (e *Error) Unwrap() error { return e.Reason }

// File is a file with a credential.
type File struct {
	Setting string // that names it
	Path    string // empty: there is none
}

// Read is its content, as it is at this moment. Its error is an *[Error].
func (f File) Read() ([]byte, error) {
	text, err := readBounded(f.Path)
	if err != nil {
		return nil, f.fault(err)
	}
	return text, nil
}

// Text is its content without line breaks at its end.
func (f File) Text() (string, error) {
	data, err := f.Read()
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", f.fault(errors.New(f.Path + " is empty"))
	}
	return text, nil
}

// fault is what is wrong with the file.
func (f File) fault(err error) error { return &Error{f.Setting, err} }

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // a pipe would make the reader wait
		return nil, fmt.Errorf("%s is no file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, MaxBytes)
	}
	return data, nil
}
