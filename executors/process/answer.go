package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/taskgrove/taskgrove/executors"
)

// resultFile is the name of the file that a program may write values into.
const resultFile = "result"

// maxAnswer is how large it may be, in bytes.
const maxAnswer = 256 << 10

// ownNames are members of the result that the file can't set.
var ownNames = []string{"exit_code", "attempts", "stdout", "stderr", "log_file", "artifacts", "truncated", "truncated_fields", "skipped", "reason"}

// name is what a line of the file may set: what templates can name.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// answered puts into the result what the program has written into its result file. An error is permanent and of [KindOutput].
func (r *run) answered(result map[string]any) error {
	text, err := readAnswer(r.answer)
	if err != nil || len(text) == 0 {
		return err
	}
	values, err := parseAnswer(text)
	if err != nil {
		return badAnswer(err)
	}
	for name, value := range values {
		if slices.Contains(ownNames, name) {
			return badAnswer(fmt.Errorf("%s can't be set", name))
		}
		result[name] = value
	}
	return nil
}

func badAnswer(err error) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf("%s:result_file:%w", KindOutput, err)), KindOutput)
}

// readAnswer reads the file in its directory. No link leads out of the attempt's directories.
func readAnswer(dir string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	f, err := root.OpenFile(filepath.Join(filepath.Base(dir), resultFile), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // there is none, or the program has removed its directory
		return nil, nil
	case err != nil:
		return nil, badAnswer(errors.New("it can't be opened"))
	}
	defer f.Close() //nolint:errcheck // it was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, badAnswer(errors.New("it is no plain file"))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the result file: %w", err)
	case len(text) > maxAnswer:
		return nil, badAnswer(fmt.Errorf("it is larger than %d KiB", maxAnswer>>10))
	}
	return text, nil
}

// parseAnswer reads a JSON object, or lines of the form key=value.
func parseAnswer(text []byte) (map[string]any, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	switch {
	case !utf8.Valid(text):
		return nil, errors.New("it is not text in UTF-8")
	case bytes.IndexByte(text, 0) >= 0 || bytes.Contains(text, []byte(`\u0000`)):
		return nil, errors.New("it contains a NUL, which can't be stored")
	}
	values := map[string]any{}
	if start := bytes.TrimSpace(text); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		if !jsontext.Value(text).IsValid() { // it knows names that are there twice
			return nil, errors.New("it is no JSON object with each name once")
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) != nil {
			return nil, errors.New("its JSON is no object")
		}
		for name, value := range members {
			values[name] = value
		}
		return values, nil
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); !ok || !name.MatchString(key) {
			return nil, fmt.Errorf("line %d is not key=value", number)
		}
		values[key] = value
	}
	return values, nil
}
