package sql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors/table"
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

// mark is how a database writes the place of a value.
type mark struct {
	text             string
	numbered, shared bool // shared: a place may come twice
}

var marks = map[string]mark{postgres: {"$", true, true}, mysql: {text: "?"}, sqlite: {text: "?"}, sqlserver: {"@p", true, true}, oracle: {":p", true, false}}

// bindStrictly is bind for statements whose params are an object, or its JSON as a text: each value has its :name in the statement, and each :name its value. The
// faults are all that there are.
func (j *job) bindStrictly(sql string, tokens []token, params json.RawMessage) (s *statement, faults []string) {
	params = bytes.TrimSpace(params)
	if len(params) > 0 && params[0] == '"' {
		var text string
		_ = json.Unmarshal(params, &text) // it is valid: it was part of valid JSON
		params = bytes.TrimSpace([]byte(text))
	}
	var named map[string]json.RawMessage
	if len(params) > 0 && json.Unmarshal(params, &named) != nil {
		return nil, []string{"params must be an object, with a value for each :name of the statement, or its JSON as a text"}
	}
	used, missing := map[string]bool{}, map[string]bool{}
	for i, t := range tokens {
		if !placeholder(sql, tokens, i) {
			if sql[t.start:t.end] == "?" && marks[j.target.driver].text == "?" {
				faults = append(faults, "has a ?, for which there is no value: values have names here, as in :name")
			}
			continue
		}
		name := sql[tokens[i+1].start:tokens[i+1].end]
		used[name] = true
		if _, ok := named[name]; !ok {
			if _, ok = j.own(name); !ok {
				missing[name] = true
			}
		}
	}
	if number := numbered(sql, tokens); number != "" && j.target.driver == postgres {
		faults = append(faults, fmt.Sprintf("has %s, for which there is no value: values have names here, as in :name", number))
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		faults = append(faults, fmt.Sprintf("params has no value for :%.64s", name))
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		switch {
		case used[name]:
		case !isName(name):
			faults = append(faults, fmt.Sprintf("params has %.64q, which is no name: letters, digits and _, no digit first", name))
		default:
			faults = append(faults, fmt.Sprintf("params has a value for :%.64s, which the statement does not have", name))
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	s, err := j.bindNames(sql, tokens, named)
	if err != nil {
		return nil, []string{err.Error()}
	}
	return s, nil
}

func isName(text string) bool {
	for i := range len(text) {
		if !wordByte(text[i]) || i == 0 && text[i] >= '0' && text[i] <= '9' {
			return false
		}
	}
	return text != ""
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
		mark := marks[j.target.driver]
		if numbers[name] == 0 || !mark.shared {
			s.params = append(s.params, value(raw))
			numbers[name] = len(s.params)
		}
		out.WriteString(mark.text)
		if mark.numbered {
			out.WriteString(strconv.Itoa(numbers[name]))
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
		if f, err := strconv.ParseFloat(string(p), 64); floats && err == nil && table.Exact(string(p), f) {
			return f
		}
		return string(p)
	}
	return p
}
