package treefile

import (
	"fmt"

	"github.com/goccy/go-yaml/token"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// maxNesting leaves room for what the reader tells better, by the task that nests too deep.
const maxNesting = rawjson.MaxDepth + 8

// checkNesting refuses what nests too deep before it is parsed: the parser takes memory and time by the square of the depth,
// which 200 kB of brackets turned into gigabytes.
func checkNesting(tokens token.Tokens) error {
	flow := 0
	var block []int // the columns at which the open block collections began
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
			}
		}
		if flow+len(block) > maxNesting {
			return &yamlFault{positionOf(t), fmt.Sprintf("nested deeper than %d levels", rawjson.MaxDepth)}
		}
	}
	return nil
}

// enter notes an entry of a block collection at a column. Those that are open further right have ended.
func enter(block []int, column, flow int) []int {
	if flow > 0 {
		return block
	}
	for len(block) > 0 && block[len(block)-1] > column {
		block = block[:len(block)-1]
	}
	if len(block) == 0 || block[len(block)-1] < column {
		block = append(block, column)
	}
	return block
}
