package treefile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/condition"
)

// root is what tokens of parameters begin with, and what conditions call them.
const root = "parameters"

// tokenRules are how tokens of parameters are read. All others are read later, by whoever renders the task.
var tokenRules = template.Rules{Plain: true, Empty: true, Roots: template.Roots{root: {Names: 1}}}

// A part of a task is closed or open to tokens of other roots, which somebody renders later.
const (
	closed = false
	open   = true
)

// replaced is a value with the parameters in its strings. later: strings may hold tokens of other roots, too.
func (r *renderer) replaced(n *node, path string, later bool) *node {
	switch n.kind {
	case '"':
		return r.text(n, path, later)
	case '{':
		out := &node{at: n.at, kind: n.kind, members: make([]member, len(n.members))}
		for i, m := range n.members {
			below := path + "." + treedoc.Short(m.name)
			r.plainKey(m, below)
			out.members[i] = member{m.name, m.at, r.replaced(m.value, below, later)}
		}
		return out
	case '[':
		out := &node{at: n.at, kind: n.kind, items: make([]*node, len(n.items))}
		for i, item := range n.items {
			out.items[i] = r.replaced(item, fmt.Sprintf("%s[%d]", path, i), later)
		}
		return out
	}
	return n
}

// plainKey tells that a key names a parameter.
func (r *renderer) plainKey(m member, path string) {
	if len(tokensOf(m.name, root)) > 0 {
		r.fault(m.at, path, "keys are never templates: parameters stand in values")
		r.doubt(path)
	}
}

// span is a part of a string.
type span struct{ from, to int }

// tokensOf finds the tokens of a root in a string; of an empty one, those of any.
func tokensOf(text, root string) (tokens []span) {
	for at := 0; ; {
		i := strings.Index(text[at:], "{{")
		if i < 0 {
			return tokens
		}
		at += i
		end := strings.Index(text[at:], "}}")
		if end < 0 {
			return tokens
		}
		end += at + 2
		inner := strings.TrimLeft(text[at+2:end-2], " \t")
		name := inner[:identifier(inner)]
		if name != "" && (name == root || root == "") {
			tokens = append(tokens, span{at, end})
			at = end
			continue
		}
		at++
	}
}

// identifier is how long the name is that a text begins with.
func identifier(text string) int {
	n := 0
	for n < len(text) && template.Identifier(text[:n+1]) {
		n++
	}
	return n
}

// text is a string with its parameters.
func (r *renderer) text(n *node, path string, later bool) *node {
	if !strings.Contains(n.text, "{{") {
		return n
	}
	tokens := tokensOf(n.text, root)
	if !later {
		for _, t := range tokensOf(n.text, "") {
			if token := n.text[t.from:t.to]; len(tokensOf(token, root)) == 0 {
				r.fault(n.at, path, "%q: only parameters can be named here", treedoc.Short(token))
				r.doubt(path)
			}
		}
	}
	if len(tokens) == 0 {
		return n
	}
	if t := tokens[0]; t.from == 0 && (t.to == len(n.text) || n.text[t.to:] == "\n") {
		v := r.value(n, n.text[t.from:t.to], path)
		if v == nil {
			return n
		}
		if v.holds("{{") {
			r.secondPass(n, path, n.text[t.from:t.to])
			return n
		}
		return v
	}
	var b strings.Builder
	from, braces := 0, 0
	for _, t := range tokens {
		if leavesOpen(n.text[:t.from]) {
			r.fault(n.at, path, "%q: a parameter can't be part of another template", treedoc.Short(n.text[t.from:t.to]))
			r.doubt(path)
			return n
		}
		v := r.value(n, n.text[t.from:t.to], path)
		if v == nil {
			return n
		}
		plain := n.text[from:t.from]
		braces += strings.Count(plain, "{{")
		b.WriteString(plain)
		b.WriteString(v.inText())
		from = t.to
	}
	braces += strings.Count(n.text[from:], "{{")
	b.WriteString(n.text[from:])
	out := textNode(n.at, b.String())
	if strings.Count(out.text, "{{") > braces {
		r.secondPass(n, path, n.text[tokens[0].from:tokens[0].to])
		return n
	}
	return out
}

// leavesOpen reports whether a text begins a template that it does not end.
func leavesOpen(text string) bool {
	begin := strings.LastIndex(text, "{{")
	return begin >= 0 && !strings.Contains(text[begin:], "}}")
}

// secondPass tells that a value would be read as a template.
func (r *renderer) secondPass(n *node, path, token string) {
	r.fault(n.at, path, "%q: the value has {{ in it, which would be read as a template", treedoc.Short(token))
	r.doubt(path)
}

// holds reports whether a string in the value holds a text.
func (n *node) holds(text string) bool {
	if n.kind == '"' && strings.Contains(n.text, text) {
		return true
	}
	for _, m := range n.members {
		if strings.Contains(m.name, text) || m.value.holds(text) {
			return true
		}
	}
	for _, item := range n.items {
		if item.holds(text) {
			return true
		}
	}
	return false
}

// inText is a value as the resolver writes it in the middle of a text.
func (n *node) inText() string {
	if n.kind == '"' {
		return n.text
	}
	rules := template.Rules{Plain: true}
	v, err := rules.Render(" {{v}}", template.Scope{"v": n.decoded()}, 0)
	if err != nil { // an empty value is written as nothing
		return ""
	}
	return v.(string)[1:]
}

// value is what a token in a string stands for, standing there; nil: nothing does, which is told.
func (r *renderer) value(n *node, token, path string) *node {
	if r.full { // which is told
		return nil
	}
	fault := func(format string, args ...any) *node {
		r.doubt(path)
		r.fault(n.at, path, "%q: "+format, append([]any{treedoc.Short(token)}, args...)...)
		return nil
	}
	text, err := tokenRules.Parse(token)
	if err == nil {
		if faults := tokenRules.Check(token, nil); len(faults) > 0 {
			err = faults[0]
		}
	}
	if bad, ok := errors.AsType[*template.Error](err); ok {
		return fault("%s", bad.Reason)
	}
	name := text.Refs()[0][1]
	if r.undeclared(name, fault) {
		return nil
	}
	p := r.parameters[name]
	if p.faulty {
		r.doubt(path)
	}
	if token := text.Pieces()[0]; r.values[name] == nil && token.HasDefault && len(token.Path) == 2 && p.kind != "string" {
		return r.defaultOf(n, p, token.Default, fault)
	}
	scope := template.Scope{root: r.decodedValues()}
	v, err := tokenRules.Render(token, scope, 0)
	switch {
	case err != nil && p.faulty:
		return r.values[name].copyAt(n.at)
	case err != nil && r.values[name] == nil:
		return fault("the parameter has no value; give it one, or the token a default: {{parameters.%s:…}}", name)
	case err != nil:
		return fault("the parameter has no such member")
	}
	out := nodeOf(n.at, v)
	if r.gain(out.size()); r.full {
		return nil
	}
	if len(p.enum) == 0 && out.namesSecret() {
		return fault("the value names a secret; " + onlyByEnum)
	}
	return out
}

// defaultOf is what a token says for a parameter that is no text and has no value.
func (r *renderer) defaultOf(n *node, p *parameter, text string, fault func(format string, args ...any) *node) *node {
	v, reason := p.typed(strings.TrimSpace(text))
	if reason == "" {
		p.check(v, "", func(path, why string) { reason = strings.TrimPrefix(path+": "+why, ": ") })
	}
	if reason != "" {
		return fault("the token's default %s", reason)
	}
	v = p.plain(v).copyAt(n.at)
	if r.gain(v.size()); r.full {
		return nil
	}
	return v
}

// onlyByEnum is why a value of a parameter is refused: it may come from elsewhere.
const onlyByEnum = "what names a secret or a connection, or allows something, may only come from a parameter with enum, which says all that it can be"

// namesSecret reports whether an executor would read a secret in the value's place, or in that of one of its parts.
func (n *node) namesSecret() bool {
	if len(n.members) == 1 && n.members[0].name == "secret" {
		return true
	}
	return slices.ContainsFunc(n.members, func(m member) bool { return m.value.namesSecret() }) || slices.ContainsFunc(n.items, (*node).namesSecret)
}

// granted refuses inputs that a parameter gave as a whole if they name a connection or allow something.
func (t *taskRenderer) granted(text string, inputs *node) {
	if inputs.kind != '{' {
		return
	}
	for _, token := range tokensOf(text, root) {
		parsed, err := tokenRules.Parse(text[token.from:token.to])
		if err != nil || len(parsed.Refs()[0]) < 2 {
			continue // which is told elsewhere
		}
		if p := t.parameters[parsed.Refs()[0][1]]; p == nil || len(p.enum) > 0 {
			continue
		}
		for _, m := range inputs.members {
			if dag.FixedInput(m.name) {
				t.fault(inputs.at, t.at("inputs"), "%q: the value has %s; "+onlyByEnum, treedoc.Short(text[token.from:token.to]), treedoc.Short(m.name))
			}
		}
	}
}

// fixed tells where the inputs of a task name a secret or a connection, or allow something, by a parameter that may be anything: values of
// parameters may come from elsewhere.
func (t *taskRenderer) fixed(inputs *node) {
	if !inputs.holds("{{") {
		return
	}
	for at, text := range dag.FixedTexts(t.executor, inputs.json()) {
		top := at[:strings.IndexAny(at+".", ".[")]
		for _, token := range tokensOf(text, root) {
			parsed, err := tokenRules.Parse(text[token.from:token.to])
			if err != nil || len(parsed.Refs()[0]) < 2 {
				continue // which is told elsewhere
			}
			if p := t.parameters[parsed.Refs()[0][1]]; p != nil && len(p.enum) == 0 {
				t.fault(inputs.placeOf(top), t.at("inputs."+at), "%q: "+onlyByEnum, treedoc.Short(text[token.from:token.to]))
			}
		}
	}
}

// undeclared tells that a parameter is named which there is not.
func (r *renderer) undeclared(name string, fault func(format string, args ...any) *node) bool {
	if r.parameters[name] != nil || r.unsure {
		return r.parameters[name] == nil
	}
	switch near := dag.Nearest(name, r.names); {
	case near != "":
		fault("there is no parameter %s; did you mean %s?", treedoc.Short(name), near)
	case len(r.names) == 0:
		fault("the file has no parameters")
	default:
		fault("there is no parameter %s; %s", treedoc.Short(name), r.there())
	}
	return true
}

// decodedValues are the values of the parameters by name.
func (r *renderer) decodedValues() map[string]any {
	if r.decoded == nil {
		r.decoded = map[string]any{}
		for name, n := range r.values {
			r.decoded[name] = n.decoded()
		}
	}
	return r.decoded
}

// condition is a condition with the values of the parameters that it names.
func (r *renderer) condition(n *node, path string) *node {
	if n.kind != '"' {
		return n
	}
	fault := func(format string, args ...any) *node {
		r.doubt(path)
		r.fault(n.at, path, format, args...)
		return nil
	}
	if len(tokensOf(n.text, root)) > 0 {
		fault("a condition names a parameter as it does anything else, without braces: parameters.day")
		return n
	}
	bound, written := condition.Bind(n.text, root, func(name string) string {
		values := object(n.at)
		for _, one := range r.names {
			if v := r.values[one]; v != nil && (name == "" || name == one) {
				values.members = append(values.members, member{one, n.at, v})
			}
		}
		if name != "" {
			r.undeclared(name, fault)
		}
		r.gain(values.size())
		return string(values.json())
	})
	if r.full {
		return n
	}
	if bound != n.text {
		if r.bound == nil {
			r.bound = map[string]func(line, column int) int{}
		}
		r.bound[path] = written
	}
	return textNode(n.at, bound)
}

// lineInText is how faults of conditions name a place.
var lineInText = regexp.MustCompile(`line (\d{1,9}), column (\d{1,9})`)

// asWritten is a text about a condition with the place in what the file says, not in what it became with the values of parameters.
func (r *renderer) asWritten(path, text string) string {
	written := r.bound[path]
	m := lineInText.FindStringSubmatchIndex(text)
	if written == nil || m == nil {
		return text
	}
	line, _ := strconv.Atoi(text[m[2]:m[3]]) // they are digits
	column, _ := strconv.Atoi(text[m[4]:m[5]])
	return text[:m[4]] + strconv.Itoa(written(line, column)) + text[m[5]:]
}

// maxGained is how much a file may gain by what is written in many places: values of parameters, defaults, and needs of groups.
const maxGained = aliasBytes

// gain counts what is written anew.
func (r *renderer) gain(bytes int) {
	if r.gained += bytes; r.gained > maxGained && !r.full {
		r.full = true
		r.faultAt(r.file.name, fmt.Sprintf("what parameters, defaults and needs of groups add to it is more than %d MiB", maxGained>>20))
	}
}
