package treefile

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// yamlFault is a place where text stops being YAML that a tree can be written in.
type yamlFault struct {
	at     treedoc.Position
	reason string
}

func (e *yamlFault) Error() string { return e.reason }

// origin says where of a YAML document a part of its JSON stands.
type origin struct {
	offset int
	at     treedoc.Position
}

// yamlToJSON writes the documents of a YAML text as JSON, and where each part of them comes from. It goes from node to node, and not by way of Go's
// values: numbers keep their digits, however many, and text that YAML 1.2 calls a number is one (1e3). Keys that are there twice
// stay, for the reader to tell.
func yamlToJSON(text []byte) (documents []*yamlWriter, err error) {
	return writeYAML(text, false, aliasBytes)
}

// writeYAML is [yamlToJSON]. strict: tags are faults. most is how many bytes aliases may stand for.
func writeYAML(text []byte, strict bool, most int) (documents []*yamlWriter, err error) {
	tokens := lexer.Tokenize(string(text))
	if err := checkNesting(tokens); err != nil {
		return nil, err
	}
	begins := beginsOf(tokens)
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, faultOf(err, text)
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); doc.Body != nil && !directive {
			docs = append(docs, doc.Body)
		}
	}
	switch {
	case len(docs) < len(begins):
		return nil, &yamlFault{begins[len(begins)-1], "a document before this one is empty: remove it, or its ---"}
	case len(docs) == 0:
		return nil, &yamlFault{reason: "there is no document in it"}
	case len(docs) > maxDocuments:
		return nil, faultAt(docs[maxDocuments], "there are more than %d documents", maxDocuments)
	}
	aliases := aliasWalk{most: most}
	for _, doc := range docs {
		if err := aliases.check(doc); err != nil {
			return nil, faultAt(doc, "%v", err)
		}
		w := &yamlWriter{anchors: map[string]ast.Node{}, strict: strict}
		if err := w.value(doc); err != nil {
			return nil, err
		}
		documents = append(documents, w)
	}
	return documents, nil
}

// beginsOf are where documents begin that are not empty. The parser forgets those behind an empty one, which is told then: a tree must not get lost.
func beginsOf(tokens token.Tokens) (begins []treedoc.Position) {
	within := false
	for _, t := range tokens {
		switch t.Type {
		case token.DocumentHeaderType, token.DocumentEndType:
			within = false
		case token.CommentType:
		default:
			if !within && t.Type != token.DirectiveType {
				begins = append(begins, positionOf(t))
			}
			within = true
		}
	}
	return begins
}

// maxDocuments is how many a text may have.
const maxDocuments = 1000

func positionOf(t *token.Token) treedoc.Position {
	return treedoc.Position{Line: t.Position.Line, Column: t.Position.Column}
}

// faultAt is one of a node, at its beginning.
func faultAt(node ast.Node, format string, args ...any) error {
	return &yamlFault{beginOf(node), fmt.Sprintf(format, args...)}
}

// beginOf is where a node begins: a mapping at its first key, not at the colon.
func beginOf(node ast.Node) treedoc.Position {
	switch n := node.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return beginOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return beginOf(n.Key)
	case *ast.LiteralNode:
		return positionOf(n.Start)
	}
	if t := node.GetToken(); t != nil {
		return positionOf(t)
	}
	return treedoc.Position{}
}

type yamlWriter struct {
	out     []byte
	origins []origin
	anchors map[string]ast.Node
	depth   int
	strict  bool                      // tags are faults
	plain   []int                     // where texts begin in out that stand in the file without quotes
	faults  []*yamlFault              // of values that JSON has not; null stands for them, and the others are read
	keyAt   treedoc.Position          // of the value that is written; zero: it has none
	doubted map[treedoc.Position]bool // where those values and their keys stand
}

// note keeps a fault of a value, for which null stands.
func (w *yamlWriter) note(at treedoc.Position, format string, args ...any) {
	w.faults = append(w.faults, &yamlFault{at, fmt.Sprintf(format, args...)})
	if w.doubted == nil {
		w.doubted = map[treedoc.Position]bool{}
	}
	w.doubted[at], w.doubted[w.keyAt] = true, true
	w.out = append(w.out, "null"...)
}

func (w *yamlWriter) from(node ast.Node) {
	if at := beginOf(node); at.Line > 0 {
		w.origins = append(w.origins, origin{len(w.out), at})
	}
}

// value writes any node.
func (w *yamlWriter) value(node ast.Node) error {
	if w.depth++; w.depth > rawjson.MaxDepth+8 { // the reader says it better, but for what only goes round
		return faultAt(node, "nested deeper than %d levels", rawjson.MaxDepth)
	}
	defer func() { w.depth-- }()
	w.from(node)
	switch n := node.(type) {
	case *ast.MappingNode:
		return w.mapping(n.Values)
	case *ast.MappingValueNode:
		return w.mapping([]*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		return w.sequence(n)
	case *ast.AnchorNode:
		w.anchors[n.Name.String()] = n.Value
		return w.value(n.Value)
	case *ast.AliasNode:
		meant, ok := w.anchors[n.Value.String()]
		if !ok {
			return faultAt(n, "there is no anchor &%s before this alias", n.Value.String())
		}
		return w.value(meant)
	case *ast.TagNode:
		return w.tagged(n)
	case nil:
		w.out = append(w.out, "null"...)
		return nil
	}
	return w.scalar(node, "", treedoc.Position{})
}

func (w *yamlWriter) sequence(n *ast.SequenceNode) error {
	w.out = append(w.out, '[')
	for i, item := range n.Values {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.keyAt = treedoc.Position{}
		if err := w.value(item); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

// mapping writes an object. What is merged (<<) comes where it is named, without the keys that the mapping has itself.
func (w *yamlWriter) mapping(values []*ast.MappingValueNode) error {
	own := map[string]bool{}
	for _, v := range values {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			continue
		}
		name, err := w.key(v.Key)
		if err != nil {
			return err
		}
		own[name] = true
	}
	w.out = append(w.out, '{')
	start := len(w.out)
	member := func(v *ast.MappingValueNode, name string) error {
		if len(w.out) > start {
			w.out = append(w.out, ',')
		}
		w.from(v.Key)
		w.text(name)
		w.out = append(w.out, ':')
		w.keyAt = beginOf(v.Key)
		return w.value(v.Value)
	}
	for _, v := range values {
		var err error
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			err = w.merge(v.Value, own, member)
		} else if name, e := w.key(v.Key); e == nil {
			err = member(v, name)
		}
		if err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// merge calls member with what a mapping, or each of a list of them, has and the object has not.
func (w *yamlWriter) merge(node ast.Node, has map[string]bool, member func(*ast.MappingValueNode, string) error) error {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.AliasNode:
		meant, ok := w.anchors[n.Value.String()]
		if !ok {
			return faultAt(n, "there is no anchor &%s before this alias", n.Value.String())
		}
		return w.merge(meant, has, member)
	case *ast.AnchorNode:
		w.anchors[n.Name.String()] = n.Value
		return w.merge(n.Value, has, member)
	case *ast.SequenceNode:
		for _, item := range n.Values {
			if err := w.merge(item, has, member); err != nil {
				return err
			}
		}
		return nil
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return faultAt(node, "only a mapping can be merged")
	}
	for _, v := range values {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			if err := w.merge(v.Value, has, member); err != nil {
				return err
			}
			continue
		}
		name, err := w.key(v.Key)
		if err != nil {
			return err
		}
		if has[name] {
			continue
		}
		has[name] = true
		if err := member(v, name); err != nil {
			return err
		}
	}
	return nil
}

// key is a key as text.
func (w *yamlWriter) key(node ast.Node) (string, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.MappingKeyNode:
		return w.key(n.Value)
	case *ast.TagNode:
		return w.key(n.Value)
	case *ast.AnchorNode:
		w.anchors[n.Name.String()] = n.Value
		return w.key(n.Value)
	case *ast.AliasNode:
		if meant, ok := w.anchors[n.Value.String()]; ok {
			return w.key(meant)
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, nil
	}
	return "", faultAt(node, "a key must be text")
}

// collections and scalars are the tags that values may have; those of scalars say what is written.
var (
	collections = []string{"!!map", "!!seq", "!!omap", "!!set"}
	scalars     = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}
)

// tagged writes a node as the type that is said of it.
func (w *yamlWriter) tagged(n *ast.TagNode) error {
	tag := n.Start.Value
	if w.strict {
		w.note(positionOf(n.Start), "the tag %s must not be here: values are what they look like", treedoc.Short(tag))
		return nil
	}
	whole := false
	switch n.Value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		whole = true
	case *ast.AnchorNode, *ast.AliasNode:
		whole = slices.Contains(collections, tag) || slices.Contains(scalars, tag)
	}
	switch {
	case whole && (slices.Contains(collections, tag) || slices.Contains(scalars, tag)):
		return w.value(n.Value)
	case slices.Contains(scalars, tag):
		return w.scalar(n.Value, tag, positionOf(n.Start))
	case tag == "!!binary":
		w.note(positionOf(n.Start), "the tag !!binary is not known: write the text itself, in base64 if that is what it is")
	default:
		w.note(positionOf(n.Start), "the tag %s is not known: a tree knows %s", treedoc.Short(tag), listed(scalars, "and"))
	}
	return nil
}

// scalar writes what is neither mapping nor list, with the tag that it has at a place; it may be empty.
func (w *yamlWriter) scalar(node ast.Node, tag string, at treedoc.Position) error {
	text, quoted := "", true
	switch n := node.(type) {
	case *ast.StringNode:
		text, quoted = n.Value, n.Token.Type != token.StringType
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.NullNode, nil:
		if tag != "!!str" {
			w.out = append(w.out, "null"...)
			return nil
		}
	case *ast.BoolNode:
		if tag == "" || tag == "!!bool" {
			w.out = fmt.Append(w.out, n.Value)
			return nil
		}
		text = n.Token.Value
	case *ast.IntegerNode, *ast.FloatNode:
		text, quoted = node.GetToken().Value, false
	case *ast.InfinityNode, *ast.NanNode:
		w.note(beginOf(node), "%s is not a number that JSON has", node.GetToken().Value)
		return nil
	default:
		return faultAt(node, "this can't be written as JSON")
	}
	numeric := tag == "!!int" || tag == "!!float"
	if numeric || tag == "" && !quoted && !zeroFirst.MatchString(text) {
		if number, ok := jsonNumber(text); ok {
			w.out = append(w.out, number...)
			return nil
		}
	}
	switch {
	case numeric:
		w.note(at, "%q is not a number", treedoc.Short(text))
	case tag == "!!bool":
		w.note(at, "%q is neither true nor false", treedoc.Short(text))
	case tag == "!!null":
		w.note(at, "%q is not null", treedoc.Short(text))
	default:
		if !quoted {
			w.plain = append(w.plain, len(w.out))
		}
		w.text(text)
	}
	return nil
}

func (w *yamlWriter) text(s string) {
	w.out, _ = jsontext.AppendQuote(w.out, s) // it is UTF-8, as the file is
}

var (
	decimalNumber = regexp.MustCompile(`^([-+]?)(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)
	// 012 is ten in YAML 1.1 and twelve in 1.2; a code or a mode (0644) means neither. It stays as it is written, text.
	zeroFirst    = regexp.MustCompile(`^[-+]?0[0-9_]+$`)
	otherInteger = regexp.MustCompile(`^[-+]?(0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+|0[0-7]+)$`)
)

// jsonNumber is a number of YAML as JSON writes it, digit by digit.
func jsonNumber(text string) (string, bool) {
	if text == "" || text[len(text)-1] == '_' {
		return "", false
	}
	text = strings.ReplaceAll(text, "_", "")
	if otherInteger.MatchString(text) {
		n, ok := new(big.Int).SetString(strings.TrimPrefix(text, "+"), 0)
		if !ok {
			return "", false
		}
		return n.String(), true
	}
	m := decimalNumber.FindStringSubmatch(text)
	if m == nil || m[2] == "" && len(m[3]) < 2 {
		return "", false
	}
	sign, whole, fraction, exponent := strings.TrimPrefix(m[1], "+"), m[2], m[3], m[4]
	if whole == "" {
		whole = "0"
	}
	if fraction == "." {
		fraction = ".0"
	}
	return sign + whole + fraction + exponent, true
}

// placeOf is where of the YAML the byte at offset of the JSON comes from.
func placeOf(origins []origin, offset int) treedoc.Position {
	i := sort.Search(len(origins), func(i int) bool { return origins[i].offset > offset })
	if i == 0 {
		return treedoc.Position{}
	}
	return origins[i-1].at
}
