package dag

import "slices"

// EdgeMode says what an edge asks of its dependency, where that is not what the protocol has (control 2). The bits are stored; 0 is the protocol's.
type EdgeMode int16

// The bits of a mode.
const (
	acceptSuccess EdgeMode = 1 << iota
	acceptSkipped
	acceptFailed
	acceptCancelled
	acceptBlocked
	otherwiseBlock
	otherwiseSkip
	edgeOrder // merge:false
	edgeSkips // of a fold: its dependency's skip is its own
	edgeChild // from a task that an expansion made to the one that expanded

	acceptAny = acceptSuccess | acceptSkipped | acceptFailed | acceptCancelled | acceptBlocked
)

// accepts are the outcomes that an edge may accept, in the order in which they are named.
var accepts = []struct {
	mode  EdgeMode
	state State
}{{acceptSuccess, Completed}, {acceptSkipped, Skipped}, {acceptFailed, Failed}, {acceptCancelled, Cancelled}, {acceptBlocked, Blocked}}

// Outcomes are the words for the outcomes of a settled task, in the order in which they are named.
func Outcomes() (words []string) {
	for _, a := range accepts {
		words = append(words, a.state.Outcome())
	}
	return words
}

// AcceptAny is the word for an edge that accepts every outcome.
const AcceptAny = "any"

// EdgeOf is the mode of an edge as it is written: the outcomes that it accepts (nil: those of the protocol; AcceptAny alone: all), what becomes of
// the dependent otherwise ("block", "skip"; empty: as [Dependent] has it), whether it carries order only, and whether the skip of
// its dependency is its fold's. ok is false if a word is not known.
func EdgeOf(accept []string, otherwise string, order, skips bool) (m EdgeMode, ok bool) {
	for _, word := range accept {
		if word == AcceptAny {
			m |= acceptAny
			continue
		}
		i := slices.IndexFunc(accepts, func(a struct {
			mode  EdgeMode
			state State
		}) bool {
			return a.state.Outcome() == word
		})
		if i < 0 {
			return 0, false
		}
		m |= accepts[i].mode
	}
	switch otherwise {
	case "":
	case "block":
		m |= otherwiseBlock
	case "skip":
		m |= otherwiseSkip
	default:
		return 0, false
	}
	if order {
		m |= edgeOrder
	}
	if skips {
		m |= edgeSkips
	}
	return m, true
}

// ChildEdge is the mode of the edge from a task that an expansion made to the one that expanded. It is in nobody's list of dependencies.
const ChildEdge = edgeChild | edgeOrder | acceptAny

// EdgeSkips is the bit of a mode by which the skip of the dependency is its fold's, see [EdgeMode.Skips].
const EdgeSkips = edgeSkips

// The bits of a mode by which statements find out what an end means: all outcomes that an edge may accept, each by the bit of its place in [Outcomes], and
// what becomes of the dependent otherwise.
const (
	EdgeAny   = acceptAny
	EdgeBlock = otherwiseBlock
	EdgeSkip  = otherwiseSkip
)

// EdgeOrder is the bit of a mode that carries order only, see [EdgeMode.OrderOnly].
const EdgeOrder = edgeOrder

// Accept are the outcomes that the mode names; nil: it names none. All of them are [AcceptAny].
func (m EdgeMode) Accept() (words []string) {
	if m&acceptAny == acceptAny {
		return []string{AcceptAny}
	}
	for _, a := range accepts {
		if m&a.mode != 0 {
			words = append(words, a.state.Outcome())
		}
	}
	return words
}

// Completed is the mode with what its ends give it: a fold waits for every outcome, and what depends on a gate is skipped with it (control 13).
func (m EdgeMode) Completed(required bool, dependent, dependency Flags) EdgeMode {
	const gate = FlagGroup | FlagWhen
	switch {
	case dependent&FlagFold != 0:
		m |= acceptAny
	case dependency&gate == gate && required:
		m = m.accepting(acceptSuccess)
	}
	return m
}

// Judged are the flags of a task with the dependencies: with [FlagJudged] if [Decision.Judge] decides whether it runs.
func Judged(f Flags, deps []Dependent) Flags {
	f &^= FlagJudged
	if f&FlagWhen != 0 {
		return f
	}
	judged := f&FlagFold != 0
	for _, d := range deps {
		judged = judged || d.Mode.judged(d.Required)
	}
	if judged {
		f |= FlagJudged
	}
	return f
}

// judged reports whether the edge asks for more than the protocol's do: what it says beside an order without merging makes a difference to some outcome.
func (m EdgeMode) judged(required bool) bool {
	if m&^(edgeOrder|acceptAny|otherwiseBlock|otherwiseSkip) != 0 {
		return true
	}
	for _, a := range accepts {
		if fateOf(required, m, a.state) != fateOf(required, 0, a.state) {
			return true
		}
	}
	return false
}

// Shown is the mode as it is shown: that a fold accepts every outcome goes without saying.
func (m EdgeMode) Shown(fold bool) EdgeMode {
	if fold {
		m &^= acceptAny
	}
	return m
}

// Otherwise is block, skip, or empty where the mode does not say.
func (m EdgeMode) Otherwise() string {
	switch {
	case m&otherwiseBlock != 0:
		return "block"
	case m&otherwiseSkip != 0:
		return "skip"
	}
	return ""
}

// OrderOnly reports that the dependency's result is not merged into the dependent's inputs.
func (m EdgeMode) OrderOnly() bool { return m&edgeOrder != 0 }

// Skips reports that the skip of the dependency is its fold's, with its reason.
func (m EdgeMode) Skips() bool { return m&edgeSkips != 0 }

// Child reports an edge from a task that an expansion made to the one that expanded.
func (m EdgeMode) Child() bool { return m&edgeChild != 0 }

// accepting is the mode with the outcomes that it accepts, unless it names some.
func (m EdgeMode) accepting(outcomes EdgeMode) EdgeMode {
	if m&acceptAny == 0 {
		m |= outcomes
	}
	return m
}

// fate is what the end of a dependency means for its dependent.
type fate uint8

const (
	fateAccepted fate = iota
	fateBlocks        // at once
	fateSkips         // when all dependencies have ended
)

// fateOf is what the outcome of a dependency means by an edge: accepted, or else what the edge says, or else a block after a failure, a cancellation
// or a block, and a skip after a success or a skip (control 2).
func fateOf(required bool, m EdgeMode, s State) fate {
	for _, a := range accepts {
		if a.state != s {
			continue
		}
		accepted := m&a.mode != 0
		if m&acceptAny == 0 {
			accepted = !required || SuccessfulStates.Has(s)
		}
		switch {
		case accepted:
			return fateAccepted
		case m&otherwiseBlock != 0:
			return fateBlocks
		case m&otherwiseSkip != 0 || SuccessfulStates.Has(s):
			return fateSkips
		}
		return fateBlocks
	}
	if required { // not settled, and nothing will settle it
		return fateBlocks
	}
	return fateAccepted
}

// Refusal is what becomes of the dependent by an edge when its dependency ends in a state: "block", "skip", or empty if the edge accepts that.
func Refusal(required bool, m EdgeMode, s State) string {
	switch fateOf(required, m, s) {
	case fateBlocks:
		return "block"
	case fateSkips:
		return "skip"
	}
	return ""
}

// Accepted are the outcomes that an edge accepts, whether it names them or the protocol does. All of them are [AcceptAny].
func Accepted(required bool, m EdgeMode) []string {
	if m&acceptAny == 0 {
		if m |= acceptAny; required {
			m = acceptSuccess | acceptSkipped
		}
	}
	return m.Accept()
}

func (dep Dependent) fate(s State) fate { return fateOf(dep.Required, dep.Mode, s) }

func (e Edge) fate(s State) fate { return fateOf(e.Required, e.Mode, s) }
