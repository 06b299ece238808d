package grpcserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// What tasks say beyond the task-tree protocol (control 1 to 4), read and shown.

// setMode shows what a dependency says beyond the protocol.
func setMode(d *pb.Dependency, m dag.EdgeMode) {
	if m == 0 {
		return
	}
	d.Accept, d.Otherwise, d.Skips = m.Accept(), m.Otherwise(), m.Skips()
	if m.OrderOnly() {
		d.Merge = proto.Bool(false)
	}
}

// modeOf reads what a dependency says beyond the protocol. Faults are told with the field of the dependency.
func modeOf(d *pb.Dependency, fault func(field, reason string)) dag.EdgeMode {
	accept, known := []string{}, dag.Outcomes()
	for i, word := range d.GetAccept() {
		switch {
		case word == dag.AcceptAny && len(d.Accept) == 1, slices.Contains(known, word):
			accept = append(accept, word)
		case word == dag.AcceptAny:
			fault(fmt.Sprintf("accept[%d]", i), "any must stand alone")
		default:
			fault(fmt.Sprintf("accept[%d]", i), "must be "+strings.Join(known, ", ")+", or any alone")
		}
	}
	otherwise := d.GetOtherwise()
	if otherwise != "" && otherwise != "block" && otherwise != "skip" {
		fault("otherwise", "must be block or skip")
		otherwise = ""
	}
	m, _ := dag.EdgeOf(accept, otherwise, d != nil && d.Merge != nil && !*d.Merge, d.GetSkips()) // the words are known
	return m
}

// retryOf shows a policy.
func retryOf(r dag.RetryPolicy) *pb.RetryPolicy {
	out := &pb.RetryPolicy{MaxAttempts: int32(r.MaxAttempts), Backoff: string(r.Backoff), InitialDelay: duration(r.InitialDelay), MaxDelay: duration(r.MaxDelay),
		Multiplier: r.Multiplier, RetryOn: words(r.RetryOn), NoRetryOn: words(r.NoRetryOn)}
	if r.NoJitter {
		out.Jitter = "none"
	}
	if r.NoDelay {
		out.InitialDelay = &durationpb.Duration{}
	}
	return out
}

func words(kinds []dag.Kind) (out []string) {
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return out
}

// retry adds to a policy what it says beyond the protocol.
func (r *taskReader) retry(p *dag.RetryPolicy, from *pb.RetryPolicy) {
	if from == nil {
		return
	}
	p.NoDelay = from.InitialDelay != nil && p.InitialDelay == 0
	if p.Multiplier = from.Multiplier; p.Multiplier != 0 && !(p.Multiplier >= 1 && p.Multiplier <= dag.MaxMultiplier) {
		r.fault("retry.multiplier", fmt.Sprintf("must be a number from 1 to %d", dag.MaxMultiplier))
		p.Multiplier = 0
	}
	switch from.Jitter {
	case "", "full":
	case "none":
		p.NoJitter = true
	default:
		r.fault("retry.jitter", "must be full or none")
	}
	p.RetryOn, p.NoRetryOn = r.kinds("retry.retry_on", from.RetryOn), r.kinds("retry.no_retry_on", from.NoRetryOn)
}

func (r *taskReader) kinds(field string, words []string) (kinds []dag.Kind) {
	if len(words) > dag.MaxKinds {
		r.fault(field, fmt.Sprintf("must be at most %d", dag.MaxKinds))
		return nil
	}
	for i, word := range words {
		if k := dag.Kind(word); k.Valid() {
			kinds = append(kinds, k)
		} else {
			r.fault(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("must be 1 to %d letters, digits, _, - or dots", dag.MaxKindBytes))
		}
	}
	return kinds
}

// beyond reads what a task says beyond the protocol.
func (r *taskReader) beyond(out *dag.Task, t *pb.NewTask) {
	r.retry(&out.Retry, t.Retry)
	out.Fold, out.AllowFailure = t.Fold, t.AllowFailure
	if t.When != "" || t.Template || len(t.Outputs) > 0 || t.Repeat != nil || len(t.Artifacts) > 0 || t.Cache != nil || len(t.FlowStep) > 0 {
		out.Control = r.control(t)
	}
	r.imported(out, t.Imported)
	out.Limiting = limitingOf(t.Limits, t.Lock, t.Rates, r.fault)
}

// control reads what a task says that is kept with what it carries; nil: nothing.
func (r *taskReader) control(t *pb.NewTask) *dag.Control {
	c := dag.Control{When: t.When, Template: t.Template, Outputs: r.object("outputs", t.Outputs), Artifacts: t.Artifacts}
	if x := t.Repeat; x != nil {
		c.Repeat = &dag.Repeat{Until: x.Until, Max: int(x.Max), Delay: r.duration("repeat.delay", x.Delay)}
		if x.Max == 0 {
			c.Repeat.Max = dag.MaxRepeats
		}
		if x.Delay == nil {
			c.Repeat.Delay = dag.DefaultRepeatDelay
		}
	}
	if x := t.Cache; x != nil {
		c.Cache = &dag.Cache{Key: x.Key, Version: x.Version, For: r.duration("cache.for", x.For)}
	}
	if len(t.FlowStep) > 0 {
		step, err := dag.ReadFlowStep(t.FlowStep)
		if err != nil {
			r.fault("flow_step", err.Error())
		}
		c.FlowStep = step
	}
	if len(t.Artifacts) > dag.MaxArtifacts {
		r.fault("artifacts", fmt.Sprintf("must be at most %d", dag.MaxArtifacts))
		c.Artifacts = nil
	}
	if c.Stored() == nil {
		return nil
	}
	return &c
}

// imported reads how a task has ended that is submitted as settled.
func (r *taskReader) imported(out *dag.Task, i *pb.Imported) {
	if i == nil {
		return
	}
	state, known := dag.ParseOutcome(i.Outcome)
	if !known {
		r.fault("outcome", "must be "+strings.Join(dag.Outcomes(), ", "))
		return
	}
	out.Imported = &dag.Imported{State: state, Error: i.Error, Attempts: i.Attempts}
	if len(i.Result) == 0 {
		return
	}
	result, err := compactValue(i.Result)
	if err != nil {
		r.fault("result", err.Error())
	}
	out.Imported.Result = result
}

// compactValue is any JSON without needless space; nothing and null are nil.
func compactValue(raw []byte) (json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if !utf8.Valid(raw) {
		return nil, errNotUTF8
	}
	out, err := rawjson.Compact(raw)
	if errors.Is(err, rawjson.ErrDepth) {
		return nil, errDepth
	}
	if bad, ok := errors.AsType[*rawjson.RepeatedError](err); ok {
		return nil, fmt.Errorf("%s must not be there twice", shorten(bad.Path, 255))
	}
	if err != nil {
		return nil, errNotJSON
	}
	return out, nil
}
