package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// What users and executors wrote must not steer the terminal of whoever looks at it: names, errors and log lines pass
// through here on their way out.

// harmless replaces characters that steer a terminal, but those in keep.
func harmless(text, keep string) string {
	return strings.Map(func(r rune) rune {
		if rawjson.Steers(r) && !strings.ContainsRune(keep, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// oneLine is text that stays within one line, or one cell of a table.
func oneLine(text string) string {
	return harmless(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(text), "")
}

// counted is a number of things, named by the word for one of them.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// harmlessWriter passes text on without what would steer a terminal. Each Write must hold whole characters.
type harmlessWriter struct{ io.Writer }

func (w harmlessWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, harmless(string(p), "\n\t")); err != nil {
		return 0, err
	}
	return len(p), nil
}
