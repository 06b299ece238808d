package sql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"strings"
)

// statement is one that runs, with the database's own placeholders.
type statement struct {
	kind   statementKind
	sql    string
	params []any // nil, bool, string, json.Number, rawJSON (lists and objects)
	moved  []move
}

// move says that a place in the text, and those behind it, stand elsewhere in what the task wrote.
type move struct{ at, by int }

// place is where the byte stands in what the task wrote, both from 1.
func (s *statement) place(at int) int {
	i := sort.Search(len(s.moved), func(i int) bool { return s.moved[i].at >= at })
	if i == 0 {
		return at
	}
	return at + s.moved[i-1].by
}

// own are the named values that every statement may use.
func (j *job) own(name string) (json.RawMessage, bool) {
	switch name {
	case "taskgrove_key":
		return quote(j.key), true
	case "taskgrove_attempt":
		return json.RawMessage(strconv.Itoa(j.attempt)), true
	case "taskgrove_lock_token":
		if j.lock == nil {
			return json.RawMessage("null"), true
		}
		return json.RawMessage(strconv.FormatInt(j.lock.Token, 10)), true
	}
	return nil, false
}

// bind puts values to placeholders. params is a JSON list, object, or empty.
func (j *job) bind(sql string, tokens []token, params json.RawMessage) (*statement, error) {
	params = bytes.TrimSpace(params)
	if len(params) > 0 && params[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(params, &list); err != nil {
			return nil, errors.New("params are not valid JSON")
		}
		s := &statement{sql: sql}
		for _, raw := range list {
			s.params = append(s.params, value(raw))
		}
		return s, nil
	}
	var named map[string]json.RawMessage
	if len(params) > 0 && json.Unmarshal(params, &named) != nil {
		return nil, errors.New("params must be a list or an object")
	}
	if j.target.driver == postgres {
		if number := numbered(sql, tokens); number != "" {
			return nil, fmt.Errorf("%s has no value: params must be a list for $1, $2, …; an object is for :name", number)
		}
	}
	return j.bindNames(sql, tokens, named)
}

// numbered is the first of Postgres's own placeholders, or empty.
func numbered(sql string, tokens []token) string {
	for i, t := range tokens {
		if sql[t.start:t.end] == "$" && i+1 < len(tokens) && tokens[i+1].start == t.end && sql[t.end] >= '0' && sql[t.end] <= '9' {
			return sql[t.start:tokens[i+1].end]
		}
	}
	return ""
}

// bindNames replaces each :name.
func (j *job) bindNames(sql string, tokens []token, named map[string]json.RawMessage) (*statement, error) {
	s := &statement{}
	var out strings.Builder
	numbers := map[string]int{}
	done := 0
	for i, t := range tokens {
		if !placeholder(sql, tokens, i) {
			continue
		}
		nameToken := tokens[i+1]
		name := sql[nameToken.start:nameToken.end]
		raw, ok := named[name]
		if !ok {
			if raw, ok = j.own(name); !ok {
				return nil, fmt.Errorf("params has no value for :%.64s", name)
			}
		}
		out.WriteString(sql[done:t.start])
		done = nameToken.end
		if j.target.driver != postgres {
			out.WriteByte('?')
			s.params = append(s.params, value(raw))
		} else {
			if numbers[name] == 0 {
				s.params = append(s.params, value(raw))
				numbers[name] = len(s.params)
			}
			out.WriteString("$" + strconv.Itoa(numbers[name]))
		}
		s.moved = append(s.moved, move{out.Len(), done - out.Len()})
	}
	out.WriteString(sql[done:])
	s.sql = out.String()
	return s, nil
}

// placeholder reports whether tokens i and i+1 are :name, and not part of a::type or a[1:n].
func placeholder(sql string, tokens []token, i int) bool {
	if i+1 >= len(tokens) || sql[tokens[i].start:tokens[i].end] != ":" || tokens[i+1].kind != word || tokens[i+1].start != tokens[i].end {
		return false
	}
	if c := sql[tokens[i+1].start]; c >= '0' && c <= '9' {
		return false
	}
	if tokens[i].start == 0 {
		return true
	}
	before := sql[tokens[i].start-1]
	return before != ':' && !wordByte(before)
}

// value is a parameter, as one of the types that statement.params may have.
func value(raw json.RawMessage) any {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil
	}
	switch raw[0] {
	case 'n':
		return nil
	case 't', 'f':
		return raw[0] == 't'
	case '"':
		var text string
		_ = json.Unmarshal(raw, &text) // it is valid: it was part of valid JSON
		return text
	case '[', '{':
		return raw
	}
	return json.Number(raw)
}

// plain is a parameter as package database/sql takes it: numbers as what holds them without loss.
func plain(p any, floats bool) any {
	switch p := p.(type) {
	case json.RawMessage:
		return string(p)
	case json.Number:
		if n, err := strconv.ParseInt(string(p), 10, 64); err == nil {
			return n
		}
		if f, err := strconv.ParseFloat(string(p), 64); floats && err == nil && exact(string(p), f) {
			return f
		}
		return string(p)
	}
	return p
}

// exact reports whether the shortest decimal of f is what was written.
func exact(written string, f float64) bool {
	if len(written) > 400 {
		return false
	}
	if i := strings.IndexAny(written, "eE"); i >= 0 {
		if exponent, err := strconv.Atoi(written[i+1:]); err != nil || exponent > 400 || exponent < -400 {
			return false
		}
	}
	want, ok := new(big.Rat).SetString(written)
	got, ok2 := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && ok2 && want.Cmp(got) == 0
}
