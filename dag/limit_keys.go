package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag/template"
)

// Keys of limits, locks and rates are templates over what is known when the task is stored: its inputs as they were submitted, itself and its tree.
var (
	limitKeyRules = template.Rules{Plain: true, Roots: limitKeyRoots}
	itemKeyRules  = template.Rules{Plain: true, Roots: func() template.Roots {
		roots := template.Roots{"item": {}, "index": {}}
		for name, root := range limitKeyRoots {
			roots[name] = root
		}
		return roots
	}()}

	limitKeyRoots = template.Roots{
		"inputs": {Names: 1}, "task": {Names: 1, Of: []string{"id", "name", "user_id"}}, "tree": {Names: 1, Of: []string{"id", "user_id"}},
	}
)

// LimitKeyFault is why a key can't be one of a limit, a lock or a rate, nor a name that an operator's limit is for; empty: it can.
func LimitKeyFault(key string) string {
	if key == "" {
		return "must not be empty"
	}
	return plainTextFault(key, MaxLimitKeyBytes)
}

// ReasonFault is why a text can't be the reason why something was set or paused; empty: it can.
func ReasonFault(reason string) string { return plainTextFault(reason, MaxReasonBytes) }

// WebhookNameFault is why a text can't be what a webhook of the cluster is called, which people read in lists; empty: it can.
func WebhookNameFault(name string) string { return plainTextFault(name, MaxWebhookNameBytes) }

// plainTextFault is why a text is not one line of at most so many bytes.
func plainTextFault(text string, most int) string {
	switch {
	case len(text) > most:
		return fmt.Sprintf("must be at most %d bytes, got %d", most, len(text))
	case !utf8.ValidString(text):
		return "must be valid UTF-8"
	case strings.IndexFunc(text, unicode.IsControl) >= 0:
		return "must not hold control characters"
	}
	return ""
}

// Identity is what keys may name of a task that is known only when it is stored.
type Identity struct {
	Task, Tree string // ids
	User       string // whose the tree is; empty: nobody's
}

// longestMadeID is how long an id is that a task gets in the place of one that is taken.
const longestMadeID = len("00000000-0000-0000-0000-000000000000")

// KeyedLimiting is what a task asks for, with keys as far as they are known before the task has its id.
type KeyedLimiting struct {
	l    *Limiting
	keys []limitKeyText // in the order of [Limiting.keys]; nil: all are as they stand in l
}

// limitKeyText is a key in pieces.
type limitKeyText []limitKeyPiece

// limitKeyPiece is text, or what is known once the task is stored.
type limitKeyPiece struct {
	text  string // or the default
	token string // names a member of the identity; empty: text
	of    func(Identity) string
	has   bool // there is a default
}

var identityOf = map[string]func(Identity) string{
	"task.id": func(i Identity) string { return i.Task }, "task.user_id": func(i Identity) string { return i.User },
	"tree.id": func(i Identity) string { return i.Tree }, "tree.user_id": func(i Identity) string { return i.User },
}

// ReadKeys reads the keys that the task asks for. What it asks for beside them, who validates looks at. nil: it asks for nothing.
func (t *Task) ReadKeys() *KeyedLimiting {
	keyed, _ := t.readKeys(false)
	return keyed
}

// readKeys reads them, with their faults. unfilled: items are yet to be put into them and into the inputs, so that nothing can be rendered.
func (t *Task) readKeys(unfilled bool) (keyed *KeyedLimiting, faults []valueFault) {
	if t.Limiting.Empty() {
		return nil, nil
	}
	keyed = &KeyedLimiting{l: t.Limiting}
	later := false
	var texts []limitKeyText
	r := limitKeyReader{t: t}
	for k := range t.Limiting.keys() {
		field := k.field + ".key"
		if !strings.Contains(*k.key, "{{") {
			texts = append(texts, limitKeyText{{text: *k.key}})
			if fault := LimitKeyFault(*k.key); fault != "" {
				faults = append(faults, valueFault{field, fault})
			}
			continue
		}
		later = true
		if n := len(*k.key); n > MaxLimitKeyText {
			texts, faults = append(texts, nil), append(faults, valueFault{field, fmt.Sprintf("with templates must be at most %d bytes, got %d", MaxLimitKeyText, n)})
			continue
		}
		rules := &limitKeyRules
		if unfilled {
			rules = &itemKeyRules
		}
		wrong := rules.Check(*k.key, nil)
		for _, f := range wrong {
			faults = append(faults, valueFault{field, f.Error()})
		}
		if len(wrong) > 0 || unfilled {
			texts = append(texts, nil)
			continue
		}
		text, fault := r.read(*k.key)
		if fault != "" {
			faults = append(faults, valueFault{field, fault})
		}
		texts = append(texts, text)
	}
	if later {
		keyed.keys = texts
	}
	return keyed, faults
}

// limitKeyReader reads the keys of one task.
type limitKeyReader struct {
	t      *Task
	inputs map[string]any // decoded once they are asked for
}

func (r *limitKeyReader) read(key string) (text limitKeyText, fault string) {
	parsed, err := limitKeyRules.Parse(key)
	if err != nil {
		return nil, err.Error() // it was checked
	}
	for _, p := range parsed.Pieces() {
		switch {
		case p.Path == nil:
			text = append(text, limitKeyPiece{text: p.Plain})
		case identityOf[strings.Join(p.Path, ".")] != nil:
			text = append(text, limitKeyPiece{token: p.Token, of: identityOf[strings.Join(p.Path, ".")], text: p.Default, has: p.HasDefault})
		default:
			value, why := r.value(p)
			if why != "" {
				return nil, (&template.Error{Kind: template.MissingKey, Token: p.Token, Reason: why}).Error()
			}
			text = append(text, limitKeyPiece{text: value})
		}
	}
	return text, ""
}

// value is what a token of the inputs or of the task's name stands for, or why it stands for nothing.
func (r *limitKeyReader) value(p template.Piece) (text, why string) {
	if r.inputs == nil {
		if r.inputs = decoded(r.t.Inputs); r.inputs == nil {
			r.inputs = map[string]any{}
		}
	}
	scope := template.Scope{"inputs": r.inputs, "task": map[string]any{"name": r.t.Name}}
	value, err := limitKeyRules.Render(p.Token, scope, 0)
	if err != nil {
		if p.Path[0] == "inputs" {
			return "", "the inputs have no such value as they are submitted, or it is empty, and the key is made then"
		}
		return "", "nothing is there"
	}
	switch v := value.(type) {
	case string:
		if c := r.t.Control; c != nil && c.Template && !Unrendered(r.t.Executor, p.Path[1]) && p.Path[0] == "inputs" && len(template.Tokens(v)) > 0 {
			return "", "the input is a template, which is rendered when the task runs, and the key is made when it is submitted"
		}
		return v, ""
	case json.Number:
		return v.String(), ""
	case bool:
		return fmt.Sprint(v), ""
	case nil:
		return "", "is null, and a key is a text"
	}
	return "", "is an object or a list, and a key is a text"
}

// Known reports whether the keys are the same whatever ids the task and its tree get.
func (k *KeyedLimiting) Known() bool {
	return k == nil || !slices.ContainsFunc(k.keys, func(text limitKeyText) bool {
		return slices.ContainsFunc(text, func(p limitKeyPiece) bool { return p.token != "" })
	})
}

// Of is what the task asks for, to be stored: each key is rendered. It is not to be changed.
func (k *KeyedLimiting) Of(id Identity) *Limiting {
	out, _ := k.of(id)
	return out
}

// of gives the faults of keys that are rendered only now, by their fields, too.
func (k *KeyedLimiting) of(id Identity) (out *Limiting, faults []valueFault) {
	if k == nil {
		return nil, nil
	}
	if k.keys == nil {
		return k.l, nil
	}
	out = k.l.Clone()
	i := 0
	for key := range out.keys() {
		text := k.keys[i]
		i++
		if !strings.Contains(*key.key, "{{") || text == nil {
			continue
		}
		rendered, fault := text.of(id)
		if fault == "" {
			fault = LimitKeyFault(rendered)
		}
		if fault != "" {
			faults = append(faults, valueFault{key.field + ".key", fault})
		}
		*key.from, *key.key = *key.key, rendered
	}
	return out, faults
}

// of renders a key, or says what it names that is not there.
func (text limitKeyText) of(id Identity) (rendered, fault string) {
	var b strings.Builder
	for _, p := range text {
		if n := b.Len() + len(p.text); n > MaxLimitKeyText { // inputs may be large, and be named more than once
			return "", fmt.Sprintf("must be at most %d bytes, got more than %d", MaxLimitKeyBytes, MaxLimitKeyText)
		}
		switch {
		case p.token == "":
			b.WriteString(p.text)
		case p.of(id) != "":
			b.WriteString(p.of(id))
		case p.has:
			b.WriteString(p.text)
		default:
			return "", (&template.Error{Kind: template.MissingKey, Token: p.token, Reason: "nothing is there"}).Error()
		}
	}
	return b.String(), ""
}

// NamesIdentity reports whether a key, as stored, was rendered from a template that names the task or its tree, so that it is another one in a copy.
func (l *Limiting) NamesIdentity() bool {
	for k := range l.keys() {
		if renderedFrom(*k.from, func(path string) bool { return identityOf[path] != nil }) {
			return true
		}
	}
	return false
}

// Names reports whether the key, as stored, was rendered from a template that names one of the paths, such as "tree.id".
func (l *Limit) Names(paths ...string) bool {
	return renderedFrom(l.From, func(path string) bool { return slices.Contains(paths, path) })
}

// renderedFrom reports whether the template that a key was rendered from, which may be empty, names a path that is meant.
func renderedFrom(from string, meant func(path string) bool) bool {
	if from == "" {
		return false
	}
	parsed, err := limitKeyRules.Parse(from)
	return err == nil && slices.ContainsFunc(parsed.Refs(), func(path []string) bool { return meant(strings.Join(path, ".")) })
}
