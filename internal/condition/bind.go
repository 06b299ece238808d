package condition

import (
	"strings"
	"unicode/utf8"
)

// Bind writes values in the place of a variable: wherever an expression names it, there stands what literal gives for the member that is asked of it, or,
// where no one member is, for "". The text is otherwise as it was, and one that is no expression stays as it is. written is in which column of the text
// stands what is in a column of the bound one, in the same line: literals have no line breaks.
func Bind(text, variable string, literal func(member string) string) (bound string, written func(line, column int) int) {
	same := func(_, column int) int { return column }
	if !strings.Contains(text, variable) {
		return text, same
	}
	l := &lexer{text: []rune(text)}
	var tokens []token
	for {
		t, fault := l.next()
		if fault != nil {
			return text, same // whoever compiles it says what is wrong
		}
		if tokens = append(tokens, t); t.kind == end {
			break
		}
	}
	var b strings.Builder
	from := int32(0)
	type value struct{ line, column, size, was int } // of the bound text, in characters; was: of the variable
	var values []value
	place := func(text string) (line, column int) {
		last := strings.LastIndexByte(text, '\n')
		return 1 + strings.Count(text, "\n"), 1 + utf8.RuneCountInString(text[last+1:])
	}
	for i, t := range tokens {
		if t.kind != word || t.text != variable || i > 0 && tokens[i-1].kind == sign && tokens[i-1].text == "." {
			continue
		}
		b.WriteString(string(l.text[from:t.start]))
		v := value{was: int(t.end - t.start)}
		v.line, v.column = place(b.String())
		stands := literal(memberOf(tokens[i+1:]))
		v.size = utf8.RuneCountInString(stands)
		values = append(values, v)
		b.WriteString(stands)
		from = t.end
	}
	b.WriteString(string(l.text[from:]))
	return b.String(), func(line, column int) int {
		out := column
		for _, v := range values {
			switch {
			case v.line != line || v.column > column:
			case column < v.column+v.size: // within the value
				out -= column - v.column
			default:
				out -= v.size - v.was
			}
		}
		return out
	}
}

// memberOf is the member that the tokens behind a variable ask of it; empty: no one, or not that one alone.
func memberOf(rest []token) string {
	is := func(i int, text string) bool { return i < len(rest) && rest[i].kind == sign && rest[i].text == text }
	switch {
	case is(0, ".") && len(rest) > 1 && (rest[1].kind == word || rest[1].kind == escaped) && !is(2, "("):
		return rest[1].text
	case is(0, "[") && len(rest) > 1 && rest[1].kind == quoted && is(2, "]"):
		return rest[1].text
	}
	return ""
}
