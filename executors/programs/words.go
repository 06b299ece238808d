package programs

import (
	"fmt"
	"strings"
)

// operators are the characters that a shell interprets. Without a shell they would be passed on literally, which nobody means,
// so they are refused unless quoted.
const operators = ";&|<>()`$*?[]{}!#~\n"

// Split divides a command line into words as a POSIX shell does (XCU 2.2, 2.3): blanks separate, backslash and quotes
// protect. It expands nothing, and refuses characters that a shell would interpret.
func Split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in := false // inside a word, possibly an empty quoted one
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		case c == '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("a single quote is not closed")
			}
			word.WriteString(line[i+1 : i+1+end])
			i += 1 + end
			in = true
		case c == '"':
			end, err := quoted(line[i+1:], &word)
			if err != nil {
				return nil, err
			}
			i += 1 + end
			in = true
		case c == '\\':
			if i++; i == len(line) {
				return nil, fmt.Errorf("nothing follows the last backslash")
			}
			if line[i] != '\n' { // else a continued line
				word.WriteByte(line[i])
				in = true
			}
		case strings.IndexByte(operators, c) >= 0:
			return nil, fmt.Errorf("shell operator %q is not allowed; quote it if it is meant as text", string(c))
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

// quoted reads up to the closing double quote and returns its place. Within, a backslash protects $ ` " \ only, and an
// expansion is refused.
func quoted(rest string, word *strings.Builder) (end int, err error) {
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '"':
			return i, nil
		case '$', '`':
			return 0, fmt.Errorf("shell operator %q is not allowed within double quotes", string(c))
		case '\\':
			if i+1 < len(rest) && strings.IndexByte("$`\"\\\n", rest[i+1]) >= 0 {
				if i++; rest[i] != '\n' {
					word.WriteByte(rest[i])
				}
				continue
			}
			word.WriteByte(c)
		default:
			word.WriteByte(c)
		}
	}
	return 0, fmt.Errorf("a double quote is not closed")
}
