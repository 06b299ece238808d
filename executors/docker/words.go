package docker

import (
	"errors"
	"strings"
)

// split divides a command line into words as the reference's client does (Python's shlex.split): blanks separate, backslash and quotes
// protect, and nothing is expanded. There is no shell: operators are text.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in := false // inside a word, possibly an empty quoted one
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\r', '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		case '\'', '"':
			end, err := quoted(line[i+1:], c, &word)
			if err != nil {
				return nil, err
			}
			i += 1 + end
			in = true
		case '\\':
			if i++; i == len(line) {
				return nil, errors.New("nothing follows the last backslash")
			}
			word.WriteByte(line[i])
			in = true
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// quoted reads up to the closing quote and returns its place. Within double quotes a backslash protects " and \ only.
func quoted(rest string, quote byte, word *strings.Builder) (end int, err error) {
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		switch {
		case c == quote:
			return i, nil
		case c == '\\' && quote == '"' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
			word.WriteByte(rest[i])
		default:
			word.WriteByte(c)
		}
	}
	return 0, errors.New("a quote is not closed")
}
