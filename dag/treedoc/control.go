package treedoc

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
)

// beyond reads what a task says beyond the protocol.
func (d *decoder) beyond(k key, v part) (err error) {
	t := d.task
	switch k {
	case keyWhen:
		d.control().When, err = text("when", v)
	case keyFold:
		t.Fold, err = boolean("fold", v)
	case keyAllowFailure:
		t.AllowFailure, err = boolean("allow_failure", v)
	case keyTemplate:
		var is bool
		if is, err = boolean("template", v); is {
			d.control().Template = true
		}
	case keyOutputs:
		if v.raw[0] != '{' {
			return wrong("outputs", "must be an object")
		}
		d.control().Outputs = appendCompact(nil, v)
		return d.repeated("outputs", v)
	case keyRepeat:
		return d.repeat(v)
	case keyArtifacts:
		d.control().Artifacts, err = d.texts("artifacts", v, dag.MaxArtifacts, nil)
	case keyOutcome:
		return d.outcome(v)
	case keyAttempts:
		var n int
		if n, err = integer("attempts", v); err == nil && (n < 0 || n > dag.MaxRetryAttempts) {
			return wrong("attempts", "must be 0 to %d, got %d", dag.MaxRetryAttempts, n)
		}
		d.ending().Attempts = int32(n)
	case keyLimits, keyLock, keyRates:
		return d.limiting(k, v)
	case keyCache:
		return d.cache(v)
	case keyFlowStep:
		step, err := dag.ReadFlowStep(v.raw)
		if err != nil {
			return wrong("flow_step", "%v", err)
		}
		d.control().FlowStep = step
		return d.repeated("flow_step", v)
	case keyUnique:
		return d.unique(v)
	}
	return err
}

// control is what the task says beyond the protocol.
func (d *decoder) control() *dag.Control {
	if d.task.Control == nil {
		d.task.Control = &dag.Control{}
	}
	return d.task.Control
}

// ending is how the task has ended by its own word; it counts if there is an outcome.
func (d *decoder) ending() *dag.Imported {
	if d.imported == nil {
		d.imported = &dag.Imported{State: dag.Held}
	}
	return d.imported
}

func (d *decoder) outcome(v part) error {
	word, err := text("outcome", v)
	if err != nil || word == "" {
		return err
	}
	s, known := dag.ParseOutcome(word)
	if !known {
		return wrong("outcome", "must be success, skipped, failed, cancelled or blocked")
	}
	d.ending().State = s
	return nil
}

// takeImported gives the task how it has ended, if it says so.
func (d *decoder) takeImported() {
	i := d.imported
	if i == nil || i.State == dag.Held {
		return
	}
	if d.result.raw != nil {
		i.Result = appendCompact(nil, d.result)
	}
	i.Error = d.ended
	d.task.Imported = i
}

// repeat reads how often a task runs. Unlike elsewhere a key that it does not know is a fault.
func (d *decoder) repeat(v part) error {
	if v.raw[0] != '{' {
		return wrong("repeat", "must be an object")
	}
	r := &dag.Repeat{Max: dag.MaxRepeats, Delay: dag.DefaultRepeatDelay}
	d.control().Repeat = r
	seen := once{prefix: "repeat."}
	s := scanner{text: v.raw}
	return s.object(func(key []byte, v part) (err error) {
		field, err := seen.key(key, "until", "max", "delay")
		switch {
		case err != nil || isNull(v) && field != "":
		case field == "until":
			if r.Until, err = text("repeat.until", v); err != nil {
				r.Until = "true" // one fault is told of it
			}
		case field == "max":
			if r.Max, err = integer("repeat.max", v); err != nil {
				r.Max = 1
			}
		case field == "delay":
			r.Delay, err = seconds("repeat.delay", v)
		default:
			err = wrong("repeat."+Short(unescape(key)), "%s", Unknown(unescape(key), repeatKeys))
		}
		return d.note(err)
	})
}

// accept reads the outcomes that an edge accepts: a list, or any.
func (d *decoder) accept(v part) (words []string, err error) {
	if v.raw[0] != '[' {
		if v.raw[0] == '"' && unescape(v.raw) == dag.AcceptAny {
			return []string{dag.AcceptAny}, nil
		}
		return nil, wrong(".accept", "must be a list of outcomes, or any")
	}
	known := dag.Outcomes()
	words, err = d.texts(".accept", v, len(known), func(field, word string) error {
		switch {
		case word == dag.AcceptAny:
			return wrong(field, "any stands alone, in no list")
		case !slices.Contains(known, word):
			return wrong(field, "must be success, skipped, failed, cancelled or blocked")
		}
		return nil
	})
	if len(bytes.TrimSpace(v.raw[1:len(v.raw)-1])) == 0 {
		return nil, wrong(".accept", "must name an outcome, or be any")
	}
	return words, err
}

// kinds reads a list of kinds of errors.
func (d *decoder) kinds(field string, v part) (kinds []dag.Kind, err error) {
	words, err := d.texts(field, v, dag.MaxKinds, func(field, word string) error {
		if !dag.Kind(word).Valid() {
			return wrong(field, "must be 1 to %d letters, digits, _, - or dots", dag.MaxKindBytes)
		}
		return nil
	})
	for _, word := range words {
		kinds = append(kinds, dag.Kind(word))
	}
	return kinds, err
}

// texts reads a list of strings, of which check says what is wrong with one. A list without check is checked later: there something good stands for what
// is no string, so that its fault is told once, and the others keep their places.
func (d *decoder) texts(field string, v part, most int, check func(field, word string) error) (texts []string, err error) {
	if v.raw[0] != '[' {
		return nil, wrong(field, "must be an array of strings")
	}
	n := 0
	s := scanner{text: v.raw}
	err = s.array(func(item part) error {
		if n == most {
			return wrong(field, "must be at most %d", most)
		}
		at := fmt.Sprintf("%s[%d]", field, n)
		n++
		one, err := text(at, item)
		switch {
		case check == nil && err != nil:
			one = "-"
		case err == nil && check != nil:
			err = check(at, one)
		}
		if err == nil || check == nil {
			texts = append(texts, one)
		}
		return d.note(err)
	})
	return texts, err
}
