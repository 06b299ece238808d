package dag

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Level is a feature level: one number for what a process can do. A process of a level can do all that the levels below
// it ask for. Levels say what may be stored while processes of several versions run; see [Levels].
type Level int32

// The levels that stored rows tell apart.
const (
	// BaseLevel is what every process can do.
	BaseLevel Level = 1
	// RunsLevel: a task keeps the reference that its submission has for it, and each run of it has an idempotency key that no
	// other run ever has. Coordinators read parts of large results from RESULTS.
	RunsLevel Level = 2
	// AheadLevel: workers claim attempts before they have a slot, and coordinators know that what is handed back may never have
	// begun. Nothing is stored otherwise.
	AheadLevel Level = 3
	// DemoLevel: a task may be demonstrated. Older workers would run it.
	DemoLevel Level = 4
	// KeyedLevel: a tree may come with the key of a language model. Older workers would take their own key instead.
	KeyedLevel Level = 5
	// EditLevel: tasks of a stored tree may be changed, deleted and added, and trees copied. Coordinators expect gaps among a tree's keys, and that
	// what depends on a task changes while they lock it; auditors, that what a copy kept is older than the copy. Workers need not know.
	EditLevel Level = 6
	// AccessLevel: trees are of namespaces, values may be sealed, pools have rules, and the secret of attempts' tokens may change. Older coordinators
	// would find what is another namespace's, and could read nothing that is sealed; older workers neither.
	AccessLevel Level = 7
	// ControlLevel: trees may say more than the protocol has: outcomes, edges that accept, conditions, templates, waits, work found at run time
	// (control 1 to 9). Older coordinators know none of the states that come of it, older workers none of the ends.
	ControlLevel Level = 8
	// LimitsLevel: tasks ask for limits, locks and rates, and pools, users and trees are held back (control 7). Older coordinators would start them, and
	// older workers would hide the tokens of locks.
	LimitsLevel Level = 9
	// ReuseLevel: trees have keys that no other one has at the same time (control 12). Older coordinators would store another one.
	ReuseLevel Level = 10
	// KeepingLevel: a tree may have a retention of its own, and may be held. Older coordinators would delete it when theirs is over. Workers need not know.
	KeepingLevel Level = 11
	// SchedulesLevel: schedules submit trees (control 8). Older coordinators don't write down how their runs end.
	SchedulesLevel Level = 12
	// CacheLevel: tasks end by earlier successes (control 12). Older coordinators would leave them waiting for a condition, or run them.
	CacheLevel Level = 13
	// KeptRunsLevel: a schedule says how long the trees of its runs are kept. Older coordinators would store them without, and delete them when the operator's retention is over.
	KeptRunsLevel Level = 14
	// SpansLevel: locks are held on for the parent of who took them, and groups have timeouts. Older coordinators would give the locks back too early, and know no such timers.
	SpansLevel Level = 15
	// FlowsLevel: conditions may name outputs of dependencies, and call the functions that gates of flows compile to. Older coordinators would fail them.
	FlowsLevel = KeptRunsLevel
	// ConnectionsLevel: tasks may define a connection instead of naming one. Older workers would refuse it.
	ConnectionsLevel = SpansLevel
	// FlowStepsLevel: tasks are steps of flows (see [FlowStep]). Older workers would drop what a skipped one gives, older coordinators would find nothing for its templates.
	FlowStepsLevel = SpansLevel
	// WorkspacesLevel: steps of a flow's job share files. Older workers would give each step a directory of its own, and older coordinators would not find what is shared.
	WorkspacesLevel = SpansLevel
	// RegistryLevel: flows are registered, and runs of flows are known as such. Older coordinators would delete the tree of a run, and leave what says which run it was. Workers need not know.
	RegistryLevel = SpansLevel
	// FlowSchedulesLevel: runs of schedules are runs of registered flows. Older coordinators would find no tree to store. Workers need not know.
	FlowSchedulesLevel = SpansLevel
)

// FeatureLevel is one row of a table of levels.
type FeatureLevel struct {
	Level Level
	Name  string
	Since string           // the first version that has it
	Needs func(*Task) bool // whether a task can only be handled by processes of this level; nil: none does

	// Adopted: it changes how every tree is stored, and concerns coordinators only. They begin to use it by themselves, once no
	// live coordinator is below it; until then trees are stored as the level before has it. Nothing is refused.
	Adopted bool
}

// Levels is a table of feature levels, numbered from [BaseLevel] without gaps.
//
// A tree that needs a level is stored only while each live coordinator and worker has it; then the level counts as used,
// and a process below it may not begin. A level that coordinators adopt counts as used by them once each live one has it.
type Levels []FeatureLevel

// AllLevels are the levels of this version. A new feature that older processes would mishandle is one more row.
var AllLevels = Levels{
	{Level: BaseLevel, Name: "base", Since: "0.1.0"},
	{Level: RunsLevel, Name: "references and runs", Since: "0.3.0", Adopted: true},
	{Level: AheadLevel, Name: "claims ahead", Since: "0.4.0"},
	{Level: DemoLevel, Name: "demonstrations", Since: "0.5.0", Needs: func(t *Task) bool { return t.Demo }},
	{Level: KeyedLevel, Name: "keys with a request", Since: "0.6.0", Needs: func(t *Task) bool { return t.Keyed || t.KeyStored }},
	{Level: EditLevel, Name: "changes and copies of stored trees", Since: "0.7.0"},
	{Level: AccessLevel, Name: "namespaces and sealed values", Since: "0.8.0"},
	{Level: ControlLevel, Name: "outcomes, conditions, values, waits and expansions", Since: "0.10.0", Needs: (*Task).controls},
	{Level: LimitsLevel, Name: "limits, locks, rates and pauses", Since: "0.11.0", Needs: func(t *Task) bool { return !t.Limiting.Empty() }},
	{Level: ReuseLevel, Name: "unique trees", Since: "0.12.0", Needs: func(t *Task) bool { return t.Unique != nil }},
	{Level: KeepingLevel, Name: "retention of trees, and holds", Since: "0.12.0"},
	{Level: SchedulesLevel, Name: "schedules", Since: "0.12.0"},
	{Level: CacheLevel, Name: "cached tasks", Since: "0.12.0", Needs: func(t *Task) bool { return t.Control != nil && t.Control.Cache != nil }},
	{Level: KeptRunsLevel, Name: "retention of schedules, gates of flows, trees that are due", Since: "0.13.0", Needs: func(t *Task) bool {
		return t.Due != nil || t.Control != nil && (strings.Contains(t.Control.When, "flow_") || strings.Contains(t.Control.When, "outputs"))
	}},
	{Level: SpansLevel, Name: "locks around several tasks, timeouts of groups, connections that tasks define, steps of flows and files that they share, registered flows, runs of flows", Since: "0.14.0", Needs: func(t *Task) bool {
		return t.Limiting.ForParent() || t.Bounds() || connectsInline(t.Inputs) || t.Control != nil && t.Control.FlowStep != nil || sharesFiles(t.Params) || t.RunsFlow()
	}},
}

// sharesFiles reports whether params say that a task is a step of a flow that shares files with others.
func sharesFiles(params []byte) bool {
	return bytes.Contains(params, []byte(`"workspace"`)) && bytes.Contains(params, []byte(`"flow_id"`))
}

// Highest is the level of a process that has all of the table.
func (ls Levels) Highest() Level { return ls[len(ls)-1].Level }

// Needed is the lowest level that can handle a task.
func (ls Levels) Needed(t *Task) Level {
	for i := len(ls) - 1; i > 0; i-- {
		if needs := ls[i].Needs; needs != nil && needs(t) {
			return ls[i].Level
		}
	}
	return BaseLevel
}

// Requiring is the table with a level that every task needs. A table without that level stays as it is.
func (ls Levels) Requiring(l Level) Levels {
	out := slices.Clone(ls)
	for i := range out {
		if out[i].Level == l {
			out[i].Needs = func(*Task) bool { return true }
		}
	}
	return out
}

// Adopted is the level that coordinators of the table begin to use by themselves.
func (ls Levels) Adopted() Level {
	for i := len(ls) - 1; i > 0; i-- {
		if ls[i].Adopted {
			return ls[i].Level
		}
	}
	return BaseLevel
}

// name is how users are told of a level.
func (ls Levels) name(l Level) string {
	if i := int(l - BaseLevel); i >= 0 && i < len(ls) {
		return fmt.Sprintf("feature level %d (%s, since version %s)", l, ls[i].Name, ls[i].Since)
	}
	return fmt.Sprintf("feature level %d", l)
}

// LevelError refuses a tree that a live process could not handle. Its text is safe to show to users.
type LevelError struct {
	Needed  string // the level, as users are told of it
	Process string // the process that is below it: "coordinator" or "worker", and its name
	Version string // of that process
	Level   Level  // of that process
}

// Refuse makes the error of a tree that needs a level and a live process that is below it.
func (ls Levels) Refuse(needed Level, process, version string, level Level) *LevelError {
	return &LevelError{Needed: ls.name(needed), Process: process, Version: version, Level: level}
}

// Error names the process that is to be upgraded.
func (e *LevelError) Error() string {
	return fmt.Sprintf("the tree needs %s, and %s, version %q, has level %d: upgrade or stop it, then try again",
		e.Needed, e.Process, e.Version, e.Level)
}

// OutdatedError refuses a process that is below a level that the store has used.
type OutdatedError struct {
	Level   Level  // of the process
	Used    Level  // by the store
	Version string // of the process that used the level first
}

// Error says what to upgrade to.
func (e *OutdatedError) Error() string {
	return fmt.Sprintf("this process has feature level %d, and the cluster has used level %d: upgrade to version %q or a later one",
		e.Level, e.Used, e.Version)
}
