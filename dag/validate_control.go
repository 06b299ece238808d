package dag

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// trait is what a task says that has a bearing on the edges around it.
type trait uint8

const (
	traitGate trait = 1 << iota // a group with a condition
	traitFold
	traitWhen      // a task of any kind with a condition
	traitEdges     // has edges with a mode
	traitForParent // takes a lock for its parent
	traitTimed     // a group with a timeout
)

func traitsOf(t *Task) (tr trait) {
	if t.Gate() {
		tr |= traitGate
	}
	if t.Fold {
		tr |= traitFold
	}
	if t.Control != nil && t.Control.When != "" {
		tr |= traitWhen
	}
	if t.Limiting.ForParent() {
		tr |= traitForParent
	}
	if t.Bounds() {
		tr |= traitTimed
	}
	for _, d := range t.Dependencies {
		if d.Mode != 0 {
			tr |= traitEdges
		}
	}
	return tr
}

// addTraits checks what the task says beyond the protocol, and keeps what the edges around it depend on.
func (b *Builder) addTraits(c *check, t *Task) {
	tr := traitsOf(t)
	if tr != 0 && b.traits == nil {
		b.traits = make([]trait, c.index, c.index+1)
	}
	if b.traits != nil {
		b.traits = append(b.traits, tr)
	}
	if t.controls() {
		c.control()
	}
	c.limiting()
}

// control checks what a task says beyond the protocol (control 2 to 5). Conditions are checked by who knows their language.
func (c *check) control() {
	t := c.task
	if t.Fold {
		if t.Executor != "" {
			c.field("fold", "only a group may have it, and the task has the executor '%s'", t.Executor)
		}
		if t.Control != nil && t.Control.When != "" {
			c.field("fold", "not together with when: let a group with the condition depend on the fold")
		}
	}
	for k, d := range t.Dependencies {
		edgeFaults(t.Fold, d.Mode, func(key, reason string) { c.field(fmt.Sprintf("dependencies[%d].%s", k, key), "%s", reason) })
	}
	if i := t.Imported; i != nil {
		c.imported(i)
	}
	co := t.Control
	if co == nil {
		return
	}
	if len(co.When) > MaxWhenBytes {
		c.field("when", "must be at most %d bytes, got %d", MaxWhenBytes, len(co.When))
	}
	if len(co.Outputs) > MaxOutputsBytes {
		c.field("outputs", "must be at most %d bytes, got %d", MaxOutputsBytes, len(co.Outputs))
	}
	if t.Executor == "" {
		for _, only := range []struct {
			field string
			given bool
		}{{"template", co.Template}, {"outputs", co.Outputs != nil}, {"repeat", co.Repeat != nil}, {"artifacts", len(co.Artifacts) > 0}, {"flow_step", co.FlowStep != nil}} {
			if only.given {
				c.field(only.field, "a group, which runs nothing, can't have it")
			}
		}
	}
	c.values()
	if co.Cache != nil {
		for _, f := range co.Cache.faults(t) {
			c.field(f.field, "%s", f.text)
		}
	}
	if waits(t.Executor) || unrendered[t.Executor] != nil {
		for _, of := range []struct {
			field string
			given bool
		}{{"outputs", co.Outputs != nil && (co.FlowStep == nil || t.Executor != MapExecutor && t.Executor != SubtreeExecutor)}, {"repeat", co.Repeat != nil}, {"artifacts", len(co.Artifacts) > 0}} {
			if of.given {
				c.field(of.field, "is of what a run returns, and one of %s returns nothing: the task waits, or finds tasks", t.Executor)
			}
		}
	}
	if r := co.Repeat; r != nil {
		if strings.TrimSpace(r.Until) == "" {
			c.field("repeat.until", "is required")
		}
		if len(r.Until) > MaxWhenBytes {
			c.field("repeat.until", "must be at most %d bytes, got %d", MaxWhenBytes, len(r.Until))
		}
		if r.Max < 1 || r.Max > MaxRepeats {
			c.field("repeat.max", "must be 1 to %d, got %d", MaxRepeats, r.Max)
		}
		c.span("repeat.delay", r.Delay)
	}
	if len(co.Artifacts) > MaxArtifacts {
		c.field("artifacts", "must be at most %d, got %d", MaxArtifacts, len(co.Artifacts))
	}
	for k, p := range co.Artifacts[:min(len(co.Artifacts), MaxArtifacts)] {
		field := fmt.Sprintf("artifacts[%d]", k)
		if fault := artifactFault(p); fault != "" {
			c.field(field, "%s", fault)
		}
	}
}

// artifactFault is what is wrong with a pattern of files; empty: nothing.
func artifactFault(pattern string) string {
	if fault := textFault(pattern, MaxArtifactPattern); fault != "" {
		return fault
	}
	parts := strings.Split(pattern, "/")
	switch {
	case pattern == "" || pattern[0] == '/' || slices.Contains(parts, ".."):
		return "must be a path within the task's directory, without .."
	case strings.Contains(pattern, `\`):
		return `must not have \`
	case strings.Count(pattern, "**") > 2:
		return "may have ** twice at most"
	}
	for _, part := range parts {
		if _, err := path.Match(part, ""); err != nil {
			return "has a [ without its ]"
		}
	}
	return ""
}

// edgeFaults tells what an edge must not say, of a fold or of another task.
func edgeFaults(fold bool, m EdgeMode, fault func(key, reason string)) {
	if fold && m&acceptAny != 0 {
		fault("accept", "a fold waits for every outcome")
	}
	if fold && m.Otherwise() != "" {
		fault("otherwise", "a fold waits for every outcome")
	}
	if !fold && m.Skips() {
		fault("skips", "only the dependencies of a fold may have it")
	}
}

func (c *check) imported(i *Imported) {
	if !i.State.Settled() {
		c.field("outcome", "must be %s", strings.Join(Outcomes(), ", "))
	}
	if i.Attempts < 0 || i.Attempts > MaxRetryAttempts {
		c.field("attempts", "must be 0 to %d, got %d", MaxRetryAttempts, i.Attempts)
	}
	if n := len(i.Result); n > c.b.limits.PayloadBytes {
		c.field("result", "must be at most %d bytes, got %d", c.b.limits.PayloadBytes, n)
	}
	c.text("error", i.Error, c.b.limits.PayloadBytes)
}

// judge completes the modes of edges, and finds the tasks that are judged.
func (b *Builder) judge(g *Graph) {
	if b.traits == nil {
		return
	}
	g.Judged = make([]bool, len(b.ids))
	for i := range b.ids {
		row := g.Dep[g.DepStart[i]:g.DepStart[i+1]]
		tr := b.traits[i]
		if p := g.Parent[i]; tr&traitForParent != 0 && p >= 0 {
			if g.Holds == nil {
				g.Holds = make([]bool, len(b.ids))
			}
			g.Holds[p] = true
		}
		for k := range row {
			e := &row[k]
			switch {
			case tr&traitFold != 0:
				e.Mode |= acceptAny
			case b.traits[e.Task]&traitGate != 0 && e.Required: // what depends on a skipped gate is skipped with it (control 13)
				e.Mode = e.Mode.accepting(acceptSuccess)
			}
			if e.Mode&^edgeOrder != 0 {
				tr |= traitEdges
			}
		}
		g.Judged[i] = tr&(traitFold|traitWhen) != 0 || tr&traitEdges != 0 && judgedEdges(row)
	}
}

// bound finds the tasks that are below a group with a timeout, and those that are below one for which locks are held.
func (b *Builder) bound(g *Graph) {
	if slices.ContainsFunc(b.traits, func(tr trait) bool { return tr&traitTimed != 0 }) {
		g.Bounded = g.below(func(i int32) bool { return b.traits[i]&traitTimed != 0 })
	}
	if g.Holds != nil {
		g.Under = g.below(func(i int32) bool { return g.Holds[i] })
	}
}

// below tells which tasks have one above them that is meant.
func (g *Graph) below(meant func(i int32) bool) []bool {
	out, known := make([]bool, len(g.Parent)), make([]bool, len(g.Parent))
	var path []int32
	for i := range g.Parent {
		path = path[:0]
		for at := int32(i); !known[at] && g.Parent[at] >= 0; at = g.Parent[at] {
			path = append(path, at)
		}
		for _, task := range slices.Backward(path) {
			p := g.Parent[task]
			known[task], out[task] = true, out[p] || meant(p)
		}
	}
	return out
}

// judgedEdges reports whether one of the edges asks for more than the protocol's do.
func judgedEdges(row []Edge) bool {
	for _, e := range row {
		if e.Mode.judged(e.Required) {
			return true
		}
	}
	return false
}
