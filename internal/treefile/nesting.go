package treefile

import (
	"fmt"

	"github.com/goccy/go-yaml/token"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// maxNesting leaves room for what the reader tells better, by the task that nests too deep.
const maxNesting = rawjson.MaxDepth + 8

// maxBlockKeys is how many keys a map without braces may have.
const maxBlockKeys = 10_000

// checkNesting refuses before it is parsed what nests too deep, or has too many keys in a map without braces: the parser takes memory and time by the square of the
// depth, and of these keys, for each of which it calls itself. 200 kB of brackets took gigabytes, and a few megabytes of keys kept a core busy for minutes.
func checkNesting(tokens token.Tokens) error {
	flow := 0
	var block []collection
	for i, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType:
			block = enter(block, t.Position.Column, flow)
		case token.MappingValueType:
			if i > 0 { // the key, which may be a part of it: a name that an alias stands for
				block = enter(block, tokens[i-1].Position.Column, flow)
				if last := len(block) - 1; flow == 0 && last >= 0 {
					if block[last].keys++; block[last].keys > maxBlockKeys {
						return &yamlFault{positionOf(tokens[i-1]), fmt.Sprintf("a map has more than %d keys: write it in braces, as {key: value, other: value}", maxBlockKeys)}
					}
				}
			}
		case token.DocumentHeaderType, token.DocumentEndType:
			block = block[:0]
		}
		if flow+len(block) > maxNesting {
			return &yamlFault{positionOf(t), fmt.Sprintf("nested deeper than %d levels", rawjson.MaxDepth)}
		}
	}
	return nil
}

// collection is one without brackets that is open.
type collection struct{ column, keys int }

// enter notes an entry of a block collection at a column. Those that are open further right have ended.
func enter(block []collection, column, flow int) []collection {
	if flow > 0 {
		return block
	}
	for len(block) > 0 && block[len(block)-1].column > column {
		block = block[:len(block)-1]
	}
	if len(block) == 0 || block[len(block)-1].column < column {
		block = append(block, collection{column: column})
	}
	return block
}
