package expansion

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
)

// MaxCollected is how long the result of an expanded task may be.
const MaxCollected = 16 << 20

// maxWhy is how much is said of why a task failed, in bytes.
const maxWhy = 4 << 10

// Fails reports whether an expanded task fails as one that it found has ended so.
func Fails(s dag.State, f dag.Flags) bool {
	return s == dag.Failed && f&dag.FlagAllowed == 0 || s == dag.Cancelled
}

// Failed is how an expanded task ends if one that it found failed, or was cancelled.
func Failed(name, id string, s dag.State, why string) dag.Answer {
	verb := "failed"
	if s == dag.Cancelled {
		verb = "was cancelled"
	}
	if len(why) > maxWhy {
		why = string(bytes.ToValidUTF8([]byte(why[:maxWhy]), nil)) + "…"
	}
	return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindChild, Error: fmt.Sprintf("task '%s' (%s), which it found, %s: %s", name, id, verb, why)}
}

// Collecting puts the result of an expanded task together, of those of the tasks right below it.
type Collecting struct {
	collect Collect
	perItem int
	out     []byte
	counts  map[dag.State]int
}

// NewCollecting begins one. perItem is how many tasks an item has, 0 for a list of tasks.
func NewCollecting(collect Collect, perItem int) *Collecting {
	c := &Collecting{collect: collect, perItem: perItem, out: []byte{'['}, counts: map[dag.State]int{}}
	if collect == Map {
		c.out[0] = '{'
	}
	return c
}

// Add adds the next task: its index among all that were found, what others call it, and how it ended. Of one that has not completed there is no result.
func (c *Collecting) Add(index int, ref string, s dag.State, result []byte) error {
	if c.collect == None || c.Full() {
		return nil
	}
	c.counts[s]++
	if s != dag.Completed || result == nil {
		result = []byte("null")
	}
	if len(c.out) > 1 {
		c.out = append(c.out, ',')
	}
	if c.collect == Map {
		name, err := json.Marshal(LocalID(c.perItem, index, ref))
		if err != nil {
			return err
		}
		c.out = append(append(c.out, name...), ':')
	}
	c.out = append(c.out, result...)
	return nil
}

// Full reports whether it is too long already: no more is needed of the others.
func (c *Collecting) Full() bool { return len(c.out) > MaxCollected }

// Answer is how the expanded task ends.
func (c *Collecting) Answer() dag.Answer {
	switch {
	case c.collect == None:
		return dag.Answer{Outcome: dag.OutcomeCompleted, Result: []byte("{}")}
	case c.Full():
		return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindOutput,
			Error: fmt.Sprintf("the results of the tasks that it found have more than %d bytes together: collect none, and let the tasks keep what they made elsewhere", MaxCollected)}
	}
	closing := byte(']')
	if c.collect == Map {
		closing = '}'
	}
	out := append(c.out, closing)
	if c.collect == Counted {
		all, well, skipped := 0, c.counts[dag.Completed], c.counts[dag.Skipped]
		for _, n := range c.counts {
			all += n
		}
		out = append(fmt.Appendf(nil, `{"count":%d,"succeeded":%d,"skipped":%d,"failed":%d,"results":`, all, well, skipped, all-well-skipped), append(out, '}')...)
	}
	return dag.Answer{Outcome: dag.OutcomeCompleted, Result: out}
}

// maxOutputs is how many bytes the outputs of an expanded task may have, as JSON.
const maxOutputs = 256 << 10

// AddOutputs adds to how an expanded task ends with success what it names of its result. text is what a plan has as its template, and of, whose outputs they are. What can't be
// rendered is a failure.
func AddOutputs(text []byte, of *dag.Rendering, a dag.Answer) dag.Answer {
	var s storedTemplate
	if err := json.Unmarshal(text, &s); err != nil {
		return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindOutput, Error: "the templates of its outputs can't be read"}
	}
	return RenderOutputs(s.Outputs, s.Values, of, a)
}

// RenderOutputs is [AddOutputs] with the templates, and the values of a flow that they name.
func RenderOutputs(outputs, values json.RawMessage, of *dag.Rendering, a dag.Answer) dag.Answer {
	if outputs == nil || a.Outcome != dag.OutcomeCompleted {
		return a
	}
	out, err := of.Outputs(outputs, []byte("{}"), values, a.Result, maxOutputs)
	fault, is := errors.AsType[*template.Error](err)
	switch {
	case is:
		return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.Kind(fault.Kind), Error: fault.Error()}
	case err != nil:
		return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindOutput, Error: err.Error()}
	case len(out) > maxOutputs:
		return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.Kind(template.TooLarge), Error: fmt.Sprintf("outputs have %d bytes, the most is %d", len(out), maxOutputs)}
	}
	a.Outputs = out
	return a
}

// Room is how many tasks may be made now of those that are left: busy is how many items are in progress, of at most window (0: any number).
func Room(left, window, busy, perItem int64) int64 {
	if window == 0 || perItem == 0 {
		return left
	}
	return min(left, max(0, window-busy)*perItem)
}
