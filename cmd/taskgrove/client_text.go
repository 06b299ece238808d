package main

import (
	"io"
	"strings"
	"unicode"
)

// What users and executors wrote must not steer the terminal of whoever looks at it: names, errors and log lines pass
// through here on their way out.

// harmless replaces control characters but those in keep, and the ones that turn the direction of writing.
func harmless(text, keep string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !strings.ContainsRune(keep, r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// oneLine is text that stays within one line, or one cell of a table.
func oneLine(text string) string {
	return harmless(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(text), "")
}

// harmlessWriter passes text on without what would steer a terminal. Each Write must hold whole characters.
type harmlessWriter struct{ io.Writer }

func (w harmlessWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, harmless(string(p), "\n\t")); err != nil {
		return 0, err
	}
	return len(p), nil
}
