package expansion

import (
	"encoding/json"
	"iter"
)

// isArray reports whether a value that is JSON is an array.
func isArray(text []byte) bool {
	for _, c := range text {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c == '['
		}
	}
	return false
}

// elements are those of an array that is JSON, as they stand there.
func elements(text []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		depth, from := 0, -1
		for i := 0; i < len(text); i++ {
			switch c := text[i]; c {
			case ' ', '\t', '\n', '\r':
				continue
			case '"':
				if from < 0 {
					from = i
				}
				i = stringEnd(text, i)
				continue
			case '[', '{':
				if depth++; depth == 1 {
					continue
				}
			case ']', '}':
				if depth--; depth == 0 {
					if from >= 0 {
						yield(trimmed(text[from:i]))
					}
					return
				}
			case ',':
				if depth == 1 {
					if !yield(trimmed(text[from:i])) {
						return
					}
					from = -1
					continue
				}
			}
			if from < 0 {
				from = i
			}
		}
	}
}

func trimmed(text []byte) []byte {
	for n := len(text); n > 0; n-- {
		if c := text[n-1]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return text[:n:n]
		}
	}
	return nil
}

// stringEnd is where the string ends that begins at i, with its quote.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
