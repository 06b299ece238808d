package expansion

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// rules are how templates of items are read: only tokens mean something.
var rules = &template.Rules{Plain: true}

// Template makes the tasks of items.
type Template struct {
	text   json.RawMessage
	name   string          // of the expanded task
	values json.RawMessage // that it keeps for the templates of the tasks
	kept   int             // bytes of them that the tasks of one item carry
	tasks  []item
}

// item is one task of a template.
type item struct {
	task   *dag.Task
	shape  shape
	name   *mold
	inputs *mold
	params *mold
	custom *mold
	keys   []*mold // of what it asks for, in their order; nil: an item is in none of them

	later   bool            // its own templates, which its worker renders, name the item
	values  json.RawMessage // what of these its templates name; nil: nothing
	written map[string]any  // the inputs as they are written here, if an item is put into them
}

// template is how a [Template] is stored.
type storedTemplate struct {
	Each    json.RawMessage `json:"each"`
	Name    string          `json:"name"`
	Values  json.RawMessage `json:"values,omitempty"`
	Outputs json.RawMessage `json:"outputs,omitempty"`
}

func (tm *Template) encode(outputs json.RawMessage) ([]byte, error) {
	return json.Marshal(storedTemplate{tm.text, tm.name, tm.values, outputs})
}

// ReadTemplate reads what a plan has as its template.
func ReadTemplate(text []byte, executors dag.Known) (*Template, error) {
	var s storedTemplate
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read a template of items: %w", err)
	}
	return newTemplate(s.Each, s.Name, s.Values, executors)
}

// NewTemplate reads what is made for each item: a task, or an array of tasks with one root. name is that of the expanded task. *[InvalidError].
func NewTemplate(each json.RawMessage, name string, executors dag.Known) (*Template, error) {
	return newTemplate(each, name, nil, executors)
}

func newTemplate(each json.RawMessage, name string, values json.RawMessage, executors dag.Known) (*Template, error) {
	faults := &InvalidError{}
	if len(each) == 0 {
		faults.add("each: is required, as there are items")
		return nil, faults
	}
	tm := &Template{text: each, name: name, values: values}
	single := !isArray(each)
	if single && firstByte(each) != '{' {
		faults.add("each: must be a task, or an array of tasks")
		return nil, faults
	}
	b := dag.NewBuilder(dag.Limits{Tasks: MaxItemTasks}, uuid.NewString).ForItems().Unfilled()
	text := each
	if single {
		text = append(append([]byte{'['}, each...), ']')
	}
	for t, err := range treedoc.Parse(text, treedoc.Options{Executors: executors}) {
		if err != nil {
			faults.add("each: %v", err)
			return nil, faults
		}
		if t.Name == "" && single {
			t.Name = name + "[{{index}}]"
		}
		if single {
			t.ID, t.ParentRef = "", ""
		}
		if _, err := b.Add(t); err != nil {
			faults.add("each: %v", err)
			return nil, faults
		}
		if writtenAsFile(t) {
			faults.add("each: tasks[%d]: is written as in a tree file, which is read where a tree is submitted, and nowhere else", len(tm.tasks))
		}
		it := item{task: t}
		it.compile(faults, len(tm.tasks))
		if values != nil && t.Control != nil && t.Control.FlowStep != nil {
			if it.values = dag.KeptValues(values, t.Inputs); len(it.values) > dag.MaxKeptValues {
				faults.add("each: tasks[%d]: what it names of the flow has %d bytes, the most is %d: leave it in a file", len(tm.tasks), len(it.values), dag.MaxKeptValues)
			}
			tm.kept += len(it.values)
		}
		tm.tasks = append(tm.tasks, it)
	}
	if len(tm.tasks) == 0 {
		faults.add("each: has no task")
		return nil, faults
	}
	g, err := b.Build()
	if err != nil {
		faults.addTree("each: ", err)
		return nil, faults
	}
	for i, s := range shapesOf(g, len(tm.tasks)) {
		tm.tasks[i].shape = s
	}
	return tm, faults.err()
}

// writtenAsFile reports whether a task has the key that says so.
func writtenAsFile(t *dag.Task) bool {
	return bytes.Contains(t.Custom, []byte(`"`+treedoc.FileKey+`"`)) && decoded(t.Custom)[treedoc.FileKey] != nil
}

func firstByte(text []byte) byte {
	if t := bytes.TrimLeft(text, " \t\r\n"); len(t) > 0 {
		return t[0]
	}
	return 0
}

// compile finds the tokens of a task.
func (it *item) compile(faults *InvalidError, index int) {
	t := it.task
	quoted, _ := json.Marshal(t.Name)
	var outputs *mold // not filled
	fields := []struct {
		field string
		text  []byte
		skip  func(input string) bool // holds templates of its own: what they name is another item's
		into  **mold
	}{{"name", quoted, nil, &it.name}, {"inputs", t.Inputs, func(input string) bool { return dag.Unrendered(t.Executor, input) }, &it.inputs}, {"params", t.Params, nil, &it.params},
		{"custom", t.Custom, nil, &it.custom}}
	if t.Control != nil && t.Control.Outputs != nil {
		fields = append(fields, fields[0])
		fields[4].field, fields[4].text, fields[4].into = "outputs", t.Control.Outputs, &outputs
	}
	for _, f := range fields {
		m, err := newMold(f.text, f.skip)
		if err != nil {
			faults.add("each: tasks[%d].%s: %v", index, f.field, err)
		}
		*f.into = m
	}
	it.compileKeys(faults, index)
	it.later = outputs != nil || t.Control != nil && t.Control.Cache != nil && strings.Contains(t.Control.Cache.Key, "{{")
	switch {
	case it.inputs == nil:
	case t.Control != nil && t.Control.Template: // data must not be read as a template
		it.inputs, it.later = nil, true
	default:
		it.written = decoded(t.Inputs)
		for at, text := range dag.FixedTexts(t.Executor, t.Inputs) {
			if parts, _ := partsOf(text); parts != nil {
				faults.add("each: tasks[%d].inputs.%s: an item can't name a secret, or allow something: write it out", index, at)
			}
		}
	}
}

// compileKeys finds the tokens of items in the keys that a task asks for.
func (it *item) compileKeys(faults *InvalidError, index int) {
	var molds []*mold
	found := false
	for field, key := range it.task.Limiting.Keys() {
		quoted, _ := encode(*key)
		m, err := newMold(quoted, nil)
		if err != nil {
			faults.add("each: tasks[%d].%s: %v", index, field, err)
		}
		molds, found = append(molds, m), found || m != nil
	}
	if found {
		it.keys = molds
	}
}

// fillKeys puts an item into the keys that a task asks for. What it puts there is never read as a template.
func (it *item) fillKeys(t *dag.Task, v *value) error {
	if it.keys == nil {
		return nil
	}
	t.Limiting = t.Limiting.Clone()
	i := -1
	for field, key := range t.Limiting.Keys() {
		i++
		if it.keys[i] == nil {
			continue
		}
		text, err := it.keys[i].fill(v)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		switch text[0] {
		case '"':
			err = json.Unmarshal(text, key)
		case '{', '[', 'n':
			err = errors.New("the value of the item is null, an object or a list, and a key is a text")
		default:
			*key = string(text)
		}
		if err == nil && it.keys[i].puts(*key) {
			err = errors.New("the value of the item has {{ in it, which a key must not have")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}

// puts reports whether a text that was filled has more tokens than it was given.
func (m *mold) puts(filled string) bool {
	n := 0
	for _, p := range m.pieces {
		for _, part := range p.parts {
			if part.token == "" {
				n += strings.Count(part.plain, "{{")
			}
		}
	}
	return strings.Count(filled, "{{") > n
}

// decoded is a JSON object that was checked.
func decoded(text json.RawMessage) (object map[string]any) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	_ = dec.Decode(&object)
	return object
}

// data are the inputs that might name secrets, or allow something, by what an item has put there.
func (it *item) data(raw, inputs json.RawMessage) (names []string) {
	if it.inputs == nil || !bytes.Contains(raw, []byte("secret")) && !bytes.Contains(raw, []byte(`\u`)) { // as all of them do that could
		return nil
	}
	after := decoded(inputs)
	for _, name := range slices.Sorted(maps.Keys(it.written)) {
		if !dag.StaysSubmitted(name, it.written[name], after[name]) {
			names = append(names, name)
		}
	}
	return names
}

// Make makes the tasks of one item. Their Faults are empty.
func (tm *Template) Make(raw json.RawMessage, index int) ([]Made, error) {
	v := value{raw: raw, index: index}
	out := make([]Made, len(tm.tasks))
	base := int32(index * len(tm.tasks))
	for i := range tm.tasks {
		it := &tm.tasks[i]
		t := *it.task
		t.Faults = nil
		if it.name != nil {
			name, err := it.name.fill(&v)
			if err != nil {
				return nil, fmt.Errorf("name: %w", err)
			}
			if json.Unmarshal(name, &t.Name) != nil { // it is one token, of another type
				t.Name = string(name)
			}
		}
		for _, f := range []struct {
			mold *mold
			into *json.RawMessage
			name string
		}{{it.inputs, &t.Inputs, "inputs"}, {it.params, &t.Params, "params"}, {it.custom, &t.Custom, "custom"}} {
			if f.mold == nil {
				continue
			}
			text, err := f.mold.fill(&v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			*f.into = text
		}
		if err := it.fillKeys(&t, &v); err != nil {
			return nil, err
		}
		if data := it.data(raw, t.Inputs); it.later || it.values != nil || len(data) > 0 {
			var c dag.Control
			if t.Control != nil {
				c = *t.Control
			}
			if it.later {
				if c.Item, c.Index = raw, index; len(raw) > dag.DefaultLimits.PayloadBytes {
					return nil, fmt.Errorf("it has %d bytes, the most is %d", len(raw), dag.DefaultLimits.PayloadBytes)
				}
			}
			c.Data, c.Values, t.Control = data, it.values, &c
		}
		ref := it.shape.Ref
		if len(tm.tasks) == 1 {
			ref = strconv.Itoa(index)
		}
		out[i] = it.shape.made(&t, ref, base)
	}
	return out, nil
}

// value is an item, decoded once it is asked for.
type value struct {
	raw   json.RawMessage
	index int
	scope template.Scope
}

func (v *value) of() (template.Scope, error) {
	if v.scope == nil {
		dec := json.NewDecoder(bytes.NewReader(v.raw))
		dec.UseNumber()
		var item any
		if err := dec.Decode(&item); err != nil {
			return nil, err
		}
		v.scope = template.Scope{"item": item, "index": json.Number(strconv.Itoa(v.index))}
	}
	return v.scope, nil
}

// mold is a JSON text in pieces, some of which are made anew for each item.
type mold struct {
	pieces []piece
	size   int
}

// piece is JSON as it stands there, or a string with tokens.
type piece struct {
	plain []byte
	parts []textPart // nil: plain
}

// textPart is a piece of a string, decoded.
type textPart struct {
	plain string
	token string   // {{…}} of item or index; empty: plain
	path  []string // of the token
}

// newMold cuts a JSON text at the strings that name an item. nil: none does. Values of the keys skip of the outermost object stay as they are.
func newMold(text []byte, skip func(key string) bool) (*mold, error) {
	if !bytes.Contains(text, []byte("{{")) {
		return nil, nil
	}
	m := &mold{size: len(text)}
	from, depth, skipping := 0, 0, false
	var faults []error
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			skipping = skipping && depth > 1
		case '"':
			end := stringEnd(text, i)
			quoted := text[i : end+1]
			if next := bytes.TrimLeft(text[end+1:], " \t\r\n"); len(next) > 0 && next[0] == ':' {
				if depth == 1 {
					skipping = skip != nil && skip(string(quoted[1:len(quoted)-1]))
				}
			} else if !skipping && bytes.Contains(quoted, []byte("{{")) {
				var s string
				if err := json.Unmarshal(quoted, &s); err != nil {
					return nil, err
				}
				parts, err := partsOf(s)
				if err != nil {
					faults = append(faults, err)
				}
				if parts != nil {
					m.pieces = append(m.pieces, piece{plain: text[from:i]}, piece{parts: parts})
					from = end + 1
				}
			}
			i = end
		}
	}
	if len(faults) > 0 || len(m.pieces) == 0 {
		return nil, errors.Join(faults...)
	}
	m.pieces = append(m.pieces, piece{plain: text[from:]})
	return m, nil
}

// partsOf finds the tokens of item and index in a string; nil: there is none. Others are text here.
func partsOf(s string) (parts []textPart, err error) {
	any, from := false, 0
	for at := 0; ; {
		open := strings.Index(s[at:], "{{")
		if open < 0 {
			break
		}
		open += at
		end := strings.Index(s[open:], "}}")
		if end < 0 {
			break
		}
		end += open + 2
		at = open + 2
		if !names(s[open+2 : end-2]) {
			continue
		}
		token := s[open:end]
		parsed, err := rules.Parse(token)
		if err != nil {
			return nil, err
		}
		if from < open {
			parts = append(parts, textPart{plain: s[from:open]})
		}
		parts = append(parts, textPart{token: token, path: parsed.Refs()[0]})
		any, at, from = true, end, end
	}
	if !any {
		return nil, nil
	}
	if from < len(s) {
		parts = append(parts, textPart{plain: s[from:]})
	}
	return parts, nil
}

// names reports whether what stands in braces begins with item or index.
func names(inner string) bool {
	inner = strings.TrimLeft(inner, " \t")
	for _, root := range []string{"item", "index"} {
		if rest, ok := strings.CutPrefix(inner, root); ok && (rest == "" || !template.Identifier("_"+rest[:1])) {
			return true
		}
	}
	return false
}

// fill puts an item into the text, which nobody reads as a template after that.
func (m *mold) fill(v *value) (json.RawMessage, error) {
	out := make([]byte, 0, m.size+len(v.raw))
	for i := range m.pieces {
		p := &m.pieces[i]
		if p.parts == nil {
			out = append(out, p.plain...)
			continue
		}
		if len(p.parts) == 1 {
			raw, err := v.whole(&p.parts[0])
			if err != nil {
				return nil, err
			}
			out = append(out, raw...)
			continue
		}
		var b strings.Builder
		for k := range p.parts {
			part := &p.parts[k]
			if part.token == "" {
				b.WriteString(part.plain)
				continue
			}
			s, err := v.text(part)
			if err != nil {
				return nil, err
			}
			b.WriteString(s)
		}
		quoted, err := encode(b.String())
		if err != nil {
			return nil, err
		}
		out = append(out, quoted...)
	}
	return out, nil
}

// whole is the value of a token, as JSON.
func (v *value) whole(p *textPart) ([]byte, error) {
	if len(p.path) == 1 && p.path[0] == "index" {
		return strconv.AppendInt(nil, int64(v.index), 10), nil
	}
	if len(p.path) == 1 && string(v.raw) != `""` && string(v.raw) != "null" {
		return v.raw, nil
	}
	got, err := v.render(p.token)
	if err != nil {
		return nil, err
	}
	return encode(got)
}

// text is the value of a token, as text.
func (v *value) text(p *textPart) (string, error) {
	if len(p.path) == 1 && p.path[0] == "index" {
		return strconv.Itoa(v.index), nil
	}
	got, err := v.render(" " + p.token) // so that it is written out as text
	if err != nil {
		return "", err
	}
	return got.(string)[1:], nil
}

func (v *value) render(text string) (any, error) {
	scope, err := v.of()
	if err != nil {
		return nil, err
	}
	return rules.Render(text, scope, dag.DefaultLimits.PayloadBytes)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
