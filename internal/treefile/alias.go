package treefile

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// aliasBytes is how much the documents of a YAML text may gain when their aliases are written out: what a JSON-RPC request of the same tree could
// hold many times over, and far below what a few aliases of aliases would ask for.
const aliasBytes = 16 << 20

// check looks at how large a document is once its aliases are written out, beside those before it, without doing so.
func (w *aliasWalk) check(document ast.Node) error {
	w.anchors = map[string]int{}
	w.size(document)
	return w.err
}

// aliasWalk goes through documents in their order: an alias stands for an anchor before it.
type aliasWalk struct {
	anchors map[string]int // sizes, written out; -1 while within the anchor
	gained  int
	most    int // bytes that they may gain
	err     error
}

// nodeBytes is what a node takes besides its text.
const nodeBytes = 16

// size is about how many bytes the node has when it is written out.
func (w *aliasWalk) size(node ast.Node) int {
	if node == nil || w.err != nil {
		return 0
	}
	switch n := node.(type) {
	case *ast.MappingNode:
		return sum(w, n.Values)
	case *ast.MappingValueNode:
		return w.size(n.Key) + w.size(n.Value)
	case *ast.SequenceNode:
		return sum(w, n.Values)
	case *ast.TagNode:
		return w.size(n.Value)
	case *ast.AnchorNode:
		name := n.Name.String()
		w.anchors[name] = -1
		size := w.size(n.Value)
		w.anchors[name] = size
		return size
	case *ast.AliasNode:
		return w.alias(n.Value.String())
	}
	if token := node.GetToken(); token != nil {
		return nodeBytes + len(token.Value)
	}
	return nodeBytes
}

func sum[N ast.Node](w *aliasWalk, nodes []N) int {
	total := nodeBytes
	for _, n := range nodes {
		total += w.size(n)
	}
	return total
}

// alias is the size of what it stands for; an unknown one is the decoder's fault to tell.
func (w *aliasWalk) alias(name string) int {
	size := w.anchors[name]
	if size < 0 {
		w.err = errors.New("an alias stands within what it stands for: *" + name)
		return 0
	}
	if w.gained += size; w.gained > w.most {
		w.err = fmt.Errorf("its aliases stand for more than %d MiB", w.most>>20)
	}
	return size
}
