package sql

import (
	"strings"
)

// The kinds of databases that differ in how they are written to.
const (
	postgres  = "postgres"
	mysql     = "mysql"
	sqlite    = "sqlite"
	sqlserver = "sqlserver"
	oracle    = "oracle"
)

// kind of a token.
type kind uint8

const (
	word        kind = iota // keyword, unquoted name or number
	name                    // quoted name
	text                    // literal
	punctuation             // one byte
	trick                   // what looks like a comment or a name, and is read as something else: /*! … */ and U&"…"
)

// token is a part of a statement that is no white space or comment.
type token struct {
	kind       kind
	start, end int
}

// lexer splits a statement as the database does. What is left open at the end is one token.
type lexer struct {
	dialect string
	sql     string
	at      int
	tokens  []token
}

func lex(dialect, sql string) []token {
	l := &lexer{dialect: dialect, sql: sql}
	for l.at < len(sql) {
		l.next()
	}
	return l.tokens
}

func (l *lexer) next() {
	rest := l.sql[l.at:]
	c := rest[0]
	switch {
	case c <= ' ':
		l.at++
	case l.lineComment(rest):
		l.skip(strings.IndexAny(rest, l.lineEnds()), 1)
	case strings.HasPrefix(rest, "/*"):
		l.blockComment(rest)
	case c == '\'':
		l.quoted(text, '\'', l.dialect == mysql)
	case c == '"' && l.dialect == mysql:
		l.quoted(text, '"', true)
	case c == '"':
		l.quoted(name, '"', false)
	case c == '`' && (l.dialect == mysql || l.dialect == sqlite):
		l.quoted(name, '`', false)
	case c == '[' && l.dialect == sqlite:
		l.until(name, "]", 1)
	case c == '[' && l.dialect == sqlserver:
		l.quoted(name, ']', false)
	case c == '$' && l.dialect == postgres && dollarTag(rest) > 0:
		tag := rest[:dollarTag(rest)]
		l.until(text, tag, len(tag))
	case wordByte(c):
		l.word(rest)
	default:
		l.add(punctuation, 1)
	}
}

func (l *lexer) add(k kind, size int) {
	l.tokens = append(l.tokens, token{k, l.at, l.at + size})
	l.at += size
}

// skip goes behind what ends at i, or to the end if i is below 0.
func (l *lexer) skip(i, size int) {
	if i < 0 {
		l.at = len(l.sql)
		return
	}
	l.at += i + size
}

func (l *lexer) lineComment(rest string) bool {
	switch {
	case l.dialect == mysql && rest[0] == '#':
		return true
	case !strings.HasPrefix(rest, "--"):
		return false
	}
	return l.dialect != mysql || len(rest) == 2 || rest[2] <= ' ' || rest[2] == 0x7f
}

// lineEnds are the characters that end a comment of a line.
func (l *lexer) lineEnds() string {
	if l.dialect == postgres {
		return "\r\n"
	}
	return "\n"
}

func (l *lexer) blockComment(rest string) {
	if l.dialect == mysql && (strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!")) {
		l.add(trick, 3)
		return // and what is in it is code
	}
	if l.dialect != postgres && l.dialect != sqlserver {
		l.skip(strings.Index(rest[2:], "*/"), 4)
		return
	}
	depth, i := 1, 2
	for i < len(rest) && depth > 0 {
		switch {
		case strings.HasPrefix(rest[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(rest[i:], "*/"):
			depth--
			i += 2
		default:
			i++
		}
	}
	l.at += i
}

// quoted takes what is between two of the same quotes. A doubled one is part of it; with escapes, so is one behind a backslash.
func (l *lexer) quoted(k kind, quote byte, escapes bool) {
	i := l.at + 1
	for i < len(l.sql) {
		switch {
		case escapes && l.sql[i] == '\\':
			i++
		case l.sql[i] == quote && i+1 < len(l.sql) && l.sql[i+1] == quote:
			i++
		case l.sql[i] == quote:
			l.add(k, i+1-l.at)
			return
		}
		i++
	}
	l.add(k, len(l.sql)-l.at)
}

// escaped takes a literal of Postgres with escapes, and those that go on with it on further lines: they have escapes, too.
func (l *lexer) escaped() {
	for l.at < len(l.sql) && l.sql[l.at] == '\'' {
		l.quoted(text, '\'', true)
		for l.at < len(l.sql) && (l.sql[l.at] <= ' ' || strings.HasPrefix(l.sql[l.at:], "--")) {
			l.next()
		}
	}
}

// until takes everything to the end mark, which is searched from a distance.
func (l *lexer) until(k kind, mark string, from int) {
	i := strings.Index(l.sql[l.at+from:], mark)
	if i < 0 {
		l.add(k, len(l.sql)-l.at)
		return
	}
	l.add(k, from+i+len(mark))
}

func (l *lexer) word(rest string) {
	size := 1
	dollars := l.dialect == mysql || l.dialect == postgres && !(rest[0] >= '0' && rest[0] <= '9') // a number ends before a dollar quote
	for size < len(rest) && (wordByte(rest[size]) || rest[size] == '$' && dollars) {
		size++
	}
	if l.dialect == oracle && size <= 2 && strings.HasSuffix(strings.ToLower(rest[:size]), "q") && len(rest) > size+1 && rest[size] == '\'' {
		end := rest[size+1 : size+2]
		if i := strings.Index("[]{}()<>", end); i >= 0 && i%2 == 0 {
			end = "[]{}()<>"[i+1 : i+2]
		}
		l.until(text, end+"'", size+2)
		return
	}
	if l.dialect == postgres && size == 1 && len(rest) > 2 {
		switch {
		case (rest[0] == 'e' || rest[0] == 'E') && rest[1] == '\'':
			l.at++
			l.escaped()
			return
		case (rest[0] == 'u' || rest[0] == 'U') && rest[1] == '&' && rest[2] == '"':
			l.at += 2
			l.quoted(trick, '"', false)
			return
		}
	}
	l.add(word, size)
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// dollarTag is the length of a dollar quote at the beginning ($$ or $tag$), or 0.
func dollarTag(rest string) int {
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '$':
			return i + 1
		case !wordByte(c), i == 1 && c >= '0' && c <= '9':
			return 0
		}
	}
	return 0
}

// lower is a word or a quoted name as names are compared; a name's doubled quotes are left as they are.
func (t token) lower(sql string) string {
	s := sql[t.start:t.end]
	if t.kind == name && len(s) >= 2 {
		s = s[1 : len(s)-1]
	}
	return strings.ToLower(s)
}
