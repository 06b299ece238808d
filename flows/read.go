package flows

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Bounds of a file.
const (
	MaxBytes   = 16 << 20
	maxAliased = 1 << 20 // bytes that aliases may stand for
	maxSteps   = 100_000 // of all jobs
	maxJobs    = 20_000
	maxLayout  = 100 // directories of a job that have names
)

// Roots of templates, by when they are rendered.
var (
	scheduleRoot = template.Root{Names: 1, Of: []string{"id", "fire_time"}}

	metaRoots  = template.Roots{"env": {Names: 1}, "params": {Names: 1}, "schedule": scheduleRoot}
	lockRoots  = template.Roots{"env": {Names: 1}, "params": {Names: 1}, "run_id": {}, "flow_id": {}, "job": {Names: 1, Of: []string{"id"}}, "schedule": scheduleRoot}
	inputRoots = template.Roots{
		"env": {Names: 1}, "params": {Names: 1}, "run_id": {}, "flow_id": {}, "schedule": scheduleRoot, "attempt": {},
		"steps": {Names: 1}, "job": {Names: 1, Of: []string{"id", "outputs"}}, "jobs": {Names: 2},
	}
	outputRoots = func() template.Roots {
		roots := maps.Clone(inputRoots)
		roots["result"] = template.Root{}
		return roots
	}()
	handlerRoot = template.Root{Names: 1, Of: []string{"job", "step", "kind", "message"}}
)

// rules are how the templates of a phase are read. handler: in a job of on_failure; item: in a foreach.
func rules(p phase, handler, item bool) *template.Rules {
	if item {
		switch p {
		case atLock:
			return &itemLockRules
		case atInput, atItems:
			if handler {
				return &handlerItemRules
			}
			return &itemRules
		}
	}
	switch p {
	case atMeta:
		return &metaRules
	case atResource:
		return &resourceRules
	case atLock:
		return &lockRules
	case atInput, atItems:
		if handler {
			return &handlerInputRules
		}
		return &inputRules
	case atOutput:
		if handler {
			return &handlerOutputRules
		}
		return &outputRules
	}
	return nil
}

var (
	metaRules          = template.Rules{Roots: metaRoots}
	resourceRules      = template.Rules{Roots: template.Roots{"env": {Names: 1}}}
	lockRules          = template.Rules{Roots: lockRoots}
	inputRules         = template.Rules{Roots: inputRoots}
	outputRules        = template.Rules{Roots: outputRoots}
	handlerInputRules  = template.Rules{Roots: withFailure(inputRoots)}
	handlerOutputRules = template.Rules{Roots: withFailure(outputRoots)}
	itemLockRules      = template.Rules{Roots: withItem(lockRoots)}
	itemRules          = template.Rules{Roots: withItem(inputRoots)}
	handlerItemRules   = template.Rules{Roots: withItem(withFailure(inputRoots))}
)

// withItem adds what the steps in a foreach may name.
func withItem(roots template.Roots) template.Roots {
	out := maps.Clone(roots)
	out["item"], out["index"] = template.Root{}, template.Root{}
	return out
}

func withFailure(roots template.Roots) template.Roots {
	out := maps.Clone(roots)
	out["failure"] = handlerRoot
	return out
}

// reader looks at a document.
type reader struct {
	*reporter
	opts    Options
	root    treefile.Value
	handler bool // within on_failure
	inItem  bool // within the steps of a foreach
	uses    []use
}

func (r *reader) at(code Code, v treefile.Value, loc, format string, args ...any) {
	r.tell(code, "", loc, v.Position(), format, args...)
}

// parse reads a text as YAML or JSON. It reports whether there is a document to look at.
func (r *reader) parse(data []byte) bool {
	if len(data) > MaxBytes {
		r.tell(CodeTooLarge, "", "", treedoc.Position{}, "is larger than %d bytes", MaxBytes)
		return false
	}
	file, root, err := treefile.DecodeStrict(r.FlowYAML, data, maxAliased)
	if bad, is := errors.AsType[*treefile.Error](err); is {
		for _, f := range bad.Faults {
			r.tell(CodeYAML, "", f.Path, f.Position(), "%s", strings.TrimPrefix(f.Text, f.Path+": ")) // loc says where already
		}
		r.More += bad.More
	} else if err != nil {
		r.tell(CodeYAML, "", "", treedoc.Position{}, "%v", err)
	}
	r.root = root
	return file != nil
}

var forms = map[form]struct{ words, alias string }{
	text: {"a text", "schema:string_type"}, integer: {"an integer", "schema:int_type"}, number: {"a number", "schema:float_type"}, boolean: {"true or false", "schema:bool_type"},
	object: {"a map", "schema:dict_type"}, table: {"a map", "schema:dict_type"}, list: {"a list", "schema:list_type"},
}

// fits reports whether a value has a form.
func fits(v treefile.Value, f form) bool {
	switch v.Kind() {
	case '{':
		return f == object || f == table
	case '[':
		return f == list
	case '"':
		return f == text || f == boolean && yesNo(v)
	case '0':
		return f == number || f == integer && isInteger(v.Text())
	case 't', 'f':
		return f == boolean
	}
	return false
}

// yesNo reports whether a value is one of the words of YAML 1.1 that are booleans.
func yesNo(v treefile.Value) bool {
	_, known := treefile.YesNo(textOf(v))
	return known && v.Plain()
}

func isInteger(digits string) bool {
	_, err := strconv.ParseInt(digits, 10, 64)
	return err == nil
}

// look looks at a value and all that is in it.
func (r *reader) look(v treefile.Value, s *shape, loc string) {
	switch {
	case !v.Given() || s.form == seen:
		return
	case s.ofItem && !r.inItem:
		r.inItem = true
		defer func() { r.inItem = false }()
	}
	switch {
	case s.form == anything:
		r.deep(v, s.phase, loc)
		return
	case s.form == either:
		r.alternatives(v, s, loc)
		return
	case !fits(v, s.form):
		f := forms[s.form]
		r.tell(CodeSchema, f.alias, loc, v.Position(), "must be %s, and is %s%s", f.words, kindOf(v), quotesHelp(v, s.form == text))
		return
	}
	switch s.form {
	case object:
		r.object(v, s.keys, loc)
	case table:
		r.table(v, s, loc)
	case list:
		for i, item := range v.Items() {
			below := fmt.Sprintf("%s[%d]", loc, i)
			if !item.Given() {
				f := forms[firstForm(s.of)]
				r.tell(CodeSchema, f.alias, below, item.Position(), "must be %s, and is null", f.words)
				continue
			}
			r.look(item, s.of, below)
		}
	case text:
		r.text(v, s, loc)
	case integer, number:
		r.bounds(v, s, loc)
	}
}

func firstForm(s *shape) form {
	if s.form == either {
		return s.either[0].form
	}
	return s.form
}

func kindOf(v treefile.Value) string {
	switch v.Kind() {
	case '{':
		return "a map"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case '0':
		return "the number " + shorten(v.Text())
	case 't':
		return "true"
	case 'f':
		return "false"
	}
	return "null"
}

// quotesHelp says how a number or a boolean becomes a text, where one is wanted.
func quotesHelp(v treefile.Value, wanted bool) string {
	if wanted && slices.Contains([]byte("0tf"), byte(v.Kind())) {
		return " (in quotes it is a text)"
	}
	return ""
}

func shorten(text string) string { return treedoc.Short(text) }

func (r *reader) alternatives(v treefile.Value, s *shape, loc string) {
	var words []string
	for i := range s.either {
		if fits(v, s.either[i].form) {
			r.look(v, &s.either[i], loc)
			return
		}
		words = append(words, forms[s.either[i].form].words)
	}
	r.tell(CodeSchema, forms[s.either[0].form].alias, loc, v.Position(), "must be %s, and is %s%s", strings.Join(words, " or "), kindOf(v), quotesHelp(v, slices.ContainsFunc(s.either, func(one shape) bool { return one.form == text })))
}

func join(loc, name string) string {
	if loc == "" {
		return shorten(name)
	}
	return loc + "." + shorten(name)
}

func (r *reader) object(v treefile.Value, keys []key, loc string) {
	given := map[string]bool{}
	meant := map[string]bool{}
	for _, m := range v.Members() {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == m.Name })
		below := join(loc, m.Name)
		if i < 0 {
			r.unknownKey(m, keys, below, meant)
			continue
		}
		if m.Given() {
			given[m.Name] = true
		}
		r.look(m.Value, inputsOfType(v, &keys[i].shape), below)
	}
	for _, k := range keys {
		if k.required && !given[k.name] && !meant[k.name] {
			r.at(CodeMissing, v, join(loc, k.name), "must be there")
		}
	}
}

// inputsOfType is what the inputs of a step are, of which some types have keys of their own.
func inputsOfType(step treefile.Value, s *shape) *shape {
	if s.inputs {
		switch textOf(step.Get("type")) {
		case withLock:
			return &shape{form: object, keys: withLockKeys}
		case forEach:
			return &shape{form: object, keys: forEachKeys}
		case callFlow:
			return &shape{form: object, keys: callKeys}
		}
	}
	return s
}

func (r *reader) unknownKey(m treefile.Member, keys []key, loc string, meant map[string]bool) {
	var known []string
	for _, k := range keys {
		known = append(known, k.name)
		if slices.ContainsFunc(k.meant, func(word string) bool { return dag.SameWord(word, m.Name) }) {
			meant[k.name] = true
			r.at(CodeUnknownKey, m.Value, loc, "is no key here: write %s", k.name)
			return
		}
	}
	if near := dag.Nearest(m.Name, known); near != "" {
		meant[near] = true
		r.at(CodeUnknownKey, m.Value, loc, "is no key here: did you mean %s?", near)
		return
	}
	r.at(CodeUnknownKey, m.Value, loc, "is no key here: there are %s", strings.Join(known, ", "))
}

func (r *reader) table(v treefile.Value, s *shape, loc string) {
	for _, m := range v.Members() {
		below := join(loc, m.Name)
		r.key(m, below)
		if s.ident && !template.Identifier(m.Name) {
			r.at(CodeBadID, m.Value, below, "must be letters, digits and _, with no digit first, so that templates can name it")
		}
		r.look(m.Value, s.of, below)
	}
}

// rootWords are what people call roots of templates, besides what is spelt nearly as they are.
var rootWords = map[string]string{
	"environ": "env", "environment": "env", "vars": "env", "variables": "env", "secrets": "env", "parameter": "params", "parameters": "params", "outputs": "job.outputs", "run": "run_id", "flow": "flow_id",
}

// likelyRoot is the root that a word is likely to mean; empty: nobody knows.
func likelyRoot(word string, roots template.Roots) string {
	as := rootWords[word]
	if _, is := roots[strings.TrimSuffix(as, ".outputs")]; is {
		return as
	}
	return dag.Nearest(word, slices.Sorted(maps.Keys(roots)))
}

// key refuses a token in a key.
func (r *reader) key(m treefile.Member, loc string) {
	for range template.Tokens(m.Name) {
		r.at(CodeNotHere, m.Value, loc, "has a token in a key, and keys are never templates")
		return
	}
}

// deep looks at a value of any form: at each text in it.
func (r *reader) deep(v treefile.Value, p phase, loc string) {
	for _, m := range v.Members() {
		below := join(loc, m.Name)
		r.key(m, below)
		r.deep(m.Value, p, below)
	}
	for i, item := range v.Items() {
		r.deep(item, p, fmt.Sprintf("%s[%d]", loc, i))
	}
	if v.Kind() == '"' {
		r.words(v, loc)
		r.template(v, p, loc)
	}
}

// words warns of a text that is a boolean elsewhere.
func (r *reader) words(v treefile.Value, loc string) {
	if yesNo(v) {
		r.at(CodeYesNo, v, loc, "%s is a text here: write true or false, or put it in quotes", v.Text())
	}
}

func (r *reader) text(v treefile.Value, s *shape, loc string) {
	r.words(v, loc)
	switch {
	case s.enum != nil && !slices.Contains(s.enum, v.Text()):
		text := "must be " + strings.Join(s.enum, ", ")
		if len(s.enum) > 1 {
			text = "must be " + strings.Join(s.enum[:len(s.enum)-1], ", ") + " or " + s.enum[len(s.enum)-1]
		}
		if near := dag.Nearest(v.Text(), s.enum); near != "" {
			text += fmt.Sprintf("; did you mean %s?", near)
		}
		r.tell(CodeSchema, "schema:literal_error", loc, v.Position(), "%s", text)
	case s.most > 0 && utf8.RuneCountInString(v.Text()) > int(s.most):
		r.tell(CodeSchema, "schema:string_too_long", loc, v.Position(), "must have at most %d characters", int(s.most))
	default:
		r.template(v, s.phase, loc)
	}
}

func (r *reader) bounds(v treefile.Value, s *shape, loc string) {
	x, ok := v.Number()
	if !ok || math.IsInf(x, 0) {
		r.tell(CodeSchema, forms[s.form].alias, loc, v.Position(), "is too large")
		return
	}
	switch {
	case x < s.least:
		r.tell(CodeSchema, "schema:greater_than_equal", loc, v.Position(), "must be at least %s", digits(s.least))
	case s.most != 0 && x > s.most:
		r.tell(CodeSchema, "schema:less_than_equal", loc, v.Position(), "must be at most %s", digits(s.most))
	case x != 0 && x < s.grain:
		r.at(CodeSchema, v, loc, "must be at least %s, or 0 for none", digits(s.grain))
	}
}

// digits is a number as people write it, without an exponent.
func digits(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// template looks at a text of a phase, and keeps what it names.
func (r *reader) template(v treefile.Value, p phase, loc string) {
	switch p {
	case literally:
		return
	case never:
		instead := ""
		if strings.HasSuffix(loc, ".when") {
			instead = ": a gate names jobs.ID.outputs.KEY without braces"
		}
		for _, f := range template.Tokens(v.Text()) {
			r.at(CodeNotHere, v, loc, "%s: there are no templates here%s", shorten(f.Token), instead)
		}
		return
	}
	by := rules(p, r.handler, r.inItem)
	for _, f := range by.Check(v.Text(), nil) {
		code := Code(f.Kind)
		reason := f.Reason
		switch f.Kind {
		case template.MissingKey: // a member that a root has not
			code = CodeUnknownRoot
		case template.UnknownRoot:
			if root, _, _ := strings.Cut(strings.Trim(f.Token, "{} \t"), "."); root == "result" && (p == atInput || p == atItems) {
				reason = "is known only once the step has returned: name it in outputs"
			} else if (root == "item" || root == "index") && !r.inItem {
				reason = "only the steps in a foreach have one"
			} else if near := likelyRoot(root, by.Roots); near != "" {
				reason += "; did you mean " + near + "?"
			}
		case template.Truncated, template.TooLarge:
			code = CodeTemplateLarge
		}
		if inner := strings.Trim(f.Token, "{} \t"); f.Kind == template.Syntax && (strings.HasPrefix(inner, "jobs.") || strings.HasPrefix(inner, "steps.")) {
			reason += "; a job or step that is to be named needs an id of these"
		}
		if f.Kind == template.Syntax && strings.ContainsAny(f.Token, "|([+") {
			reason += "; there are no filters, calls, indexes and operators"
		}
		r.at(code, v, loc, "%s: %s", shorten(f.Token), reason)
	}
	parsed, err := by.Parse(v.Text())
	if err != nil || parsed.Plain() {
		return
	}
	pieces := parsed.Pieces()
	for _, piece := range pieces {
		if piece.Path == nil {
			continue
		}
		if root, known := by.Roots[piece.Path[0]]; !known || len(piece.Path) <= root.Names || root.Of != nil && !slices.Contains(root.Of, piece.Path[1]) {
			continue // it was told
		}
		if piece.HasDefault && strings.TrimLeft(piece.Default, " \t") != piece.Default {
			r.at(CodeDefaultBlank, v, loc, "%s: the default begins with a blank, which belongs to it", shorten(piece.Token))
		}
		r.uses = append(r.uses, use{phase: p, path: piece.Path, token: piece.Token, hasDefault: piece.HasDefault, alone: alone(pieces), value: v, loc: loc})
	}
}

// alone reports whether a text is one token, so that it stands for a value.
func alone(pieces []template.Piece) bool {
	n := len(pieces)
	return n == 1 || n == 2 && pieces[1].Path == nil && pieces[1].Plain == "\n"
}

// use is a token in the document.
type use struct {
	phase      phase
	path       []string
	token      string
	hasDefault bool
	alone      bool
	value      treefile.Value
	loc        string
}
