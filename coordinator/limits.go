package coordinator

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// Limiter says how much runs at once, and stops and resumes the start of tasks. Keys and users are those of the namespace; pools and everything are the
// cluster's. Whatever is set needs [dag.LimitsLevel]: a *[dag.LevelError] while a live process is below it.
type Limiter interface {
	// SetLimit sets a limit in the place of the one that its target has, and answers once all that runs is counted. *[InvalidArgumentError]; [ErrConflict]: there
	// are [dag.MaxLimitRules], or the limit has another revision.
	SetLimit(ctx context.Context, spec LimitSpec) (*LimitInfo, error)
	// Limits lists what operators have set: keys, rates, pools, users, each by name. Who may not see the cluster's pools is shown none of theirs.
	Limits(ctx context.Context, f LimitFilter) (Page[*LimitInfo], error)
	// DeleteLimit takes a limit away that has the revision, or whatever it has (0). [ErrNotFound]; [ErrConflict]: it has another one.
	DeleteLimit(ctx context.Context, target LimitTarget, revision int32) error
	// Locks lists the locks that are held, by key.
	Locks(ctx context.Context, f LockFilter) (Page[*LockInfo], error)
	// BreakLock takes a lock from who holds it, whose task is cancelled; of a lock that is held for a task, all that is below it, too. The next holder has a greater token, and what the former
	// one still comes to does not count. [ErrNotFound]: nobody holds it; [ErrConflict]: somebody else than spec names does, or it changes hands all the time.
	BreakLock(ctx context.Context, spec LockBreak) (*BrokenLock, error)
	// SetWeight says how many slots a user gets beside others that wait in the same pool: twice as many with twice the weight, which is 0.01 to 100, and 1 unless
	// it is set. *[InvalidArgumentError]; [ErrConflict]: as many users as may be have one of their own.
	SetWeight(ctx context.Context, user string, weight float64) error
	// Pause stops the start of tasks: once it has answered, nothing new starts. What runs goes on. What is paused already stays so, by who paused it first.
	// [ErrNotFound]: there is no such task; [ErrConflict]: there are [dag.MaxPauses].
	Pause(ctx context.Context, target PauseTarget, reason string) (*PauseInfo, error)
	// Resume takes a pause away. [ErrNotFound].
	Resume(ctx context.Context, target PauseTarget) error
	// Pauses lists what is paused, the oldest first: everything, pools, and the trees that the caller may see.
	Pauses(ctx context.Context, f PauseFilter) (Page[*PauseInfo], error)
}

// LimitTarget is what an operator's limit is for: one of these. Keys and users are those of the namespace of the call.
type LimitTarget struct {
	Key    string // of limits of tasks
	Rate   string // of rates of tasks
	Pool   string // its tasks that run, in the whole cluster
	UserID string // whose tasks run and wait
	Lock   string // of locks of tasks: as listed; operators set no limit for one
}

// LimitSpec is a limit to be set. Nil fields set none.
type LimitSpec struct {
	LimitTarget
	Max     *int32        // of key, rate and pool; 0 lets nothing start
	Running *int32        // of a user
	Waiting *int32        // of a user: submissions that go above are refused
	Per     time.Duration // of a rate: a second, a minute or an hour
	Burst   int32         // of a rate; 0: as Max
	Reason  string        // at most [dag.MaxReasonBytes]
	Owner   *string       // who keeps it in files: see [dag.OwnerFault]; empty: nobody, nil: as it is

	IfRevision *int32 // what is there has this revision; 0: there is nothing; nil: whatever

	by string // who sets it
}

// LimitInfo is an operator's limit as shown.
type LimitInfo struct {
	LimitSpec
	SetBy   string    // empty: nobody was asked
	SetAt   time.Time // zero: no operator has set one; the key is held or waited for, or the user has a weight
	Counted bool      // all that runs is counted

	Revision int32 // raised each time that it is set; 0: no operator has set one
	// As things stood when it was listed.
	Held    int64   // sum of costs, counted up to 100000
	Waiters int64   // tasks that wait for it, likewise
	Weight  float64 // of a user: see [Limiter.SetWeight]; else 0

	was *dag.LimitRule // before it was set; nil: nothing
}

// LimitFilter selects limits.
type LimitFilter struct {
	All    bool // keys too that tasks hold or wait for and that no operator has set a limit for
	Limit  int  // default 100, at most 1000
	Cursor string

	noPools bool // the caller may not see the cluster's pools
}

// PauseTarget is what is paused: one of these.
type PauseTarget struct {
	TreeID     string // of the root, or of any task of the tree
	Pool       string
	Everything bool

	by string // who pauses it
}

// Scope is which kind of target it is; 0: none, or several.
func (t PauseTarget) Scope() dag.PauseScope {
	var scopes []dag.PauseScope
	if t.Everything {
		scopes = append(scopes, dag.PauseEverything)
	}
	if t.Pool != "" {
		scopes = append(scopes, dag.PausePool)
	}
	if t.TreeID != "" {
		scopes = append(scopes, dag.PauseTree)
	}
	if len(scopes) != 1 {
		return 0
	}
	return scopes[0]
}

// PauseInfo is a pause as shown.
type PauseInfo struct {
	PauseTarget
	SetBy  string
	SetAt  time.Time
	Reason string
}

// PauseFilter selects pauses.
type PauseFilter struct {
	UserID string // of trees: of this owner only; empty: of all
	Limit  int    // default 100, at most 1000
	Cursor string
}

const (
	minWeight, maxWeight = 0.01, 100
	// maxWaiting is how many tasks of a user may be let wait.
	maxWaiting = 1_000_000_000
)

// RatePer is the time that a word of a rate says: second, minute or hour; -1: another word, 0: none.
func RatePer(word string) time.Duration {
	per, known := dag.RatePeriods[word]
	if !known && word != "" {
		return -1
	}
	return per
}

// limitCall is a call about a limit. Pools are the cluster's.
func limitCall(method string, t LimitTarget, details Details) Call {
	call := Call{Method: method, UserID: t.UserID, Details: details.with("limit", t.Key).with("rate", t.Rate).with("pool", t.Pool)}
	if t.Pool != "" {
		call.Permission, call.Namespace = policy.PoolsWrite, AllNamespaces
	}
	return call
}

// pauseCall is a call about a pause. Pools and everything are the cluster's.
func pauseCall(method string, t PauseTarget, reason string) Call {
	call := Call{Method: method, ID: t.TreeID, Details: detail("pool", t.Pool, "everything", t.Everything, "reason", reason)}
	if t.Pool != "" || t.Everything {
		call.Permission, call.Namespace = policy.PoolsWrite, AllNamespaces
	}
	return call
}

func (g *guarded) SetLimit(ctx context.Context, spec LimitSpec) (*LimitInfo, error) {
	spec.by = g.caller.Name
	return ask(ctx, g, limitCall("SetLimit", spec.LimitTarget, spec.asked()), func() (*LimitInfo, error) { return g.next.SetLimit(ctx, spec) })
}

func (g *guarded) Limits(ctx context.Context, f LimitFilter) (Page[*LimitInfo], error) {
	return ask(ctx, g, Call{Method: "Limits"}, func() (page Page[*LimitInfo], err error) {
		_, err = g.policy(ctx, g.caller, Call{Method: "Limits", Permission: policy.ClusterRead, Namespace: AllNamespaces})
		f.noPools = errors.Is(err, ErrDenied)
		if err != nil && !f.noPools {
			return page, err
		}
		return g.next.Limits(ctx, f)
	})
}

func (g *guarded) DeleteLimit(ctx context.Context, target LimitTarget, revision int32) error {
	_, err := ask(ctx, g, limitCall("DeleteLimit", target, nil), func() (struct{}, error) { return struct{}{}, g.next.DeleteLimit(ctx, target, revision) })
	return err
}

func (g *guarded) SetWeight(ctx context.Context, user string, weight float64) error {
	_, err := ask(ctx, g, Call{Method: "SetWeight", UserID: user, Details: detail("weight", weight)}, func() (struct{}, error) {
		return struct{}{}, g.next.SetWeight(ctx, user, weight)
	})
	return err
}

func (g *guarded) Pause(ctx context.Context, target PauseTarget, reason string) (*PauseInfo, error) {
	target.by = g.caller.Name
	return ask(ctx, g, pauseCall("Pause", target, reason), func() (*PauseInfo, error) { return g.next.Pause(ctx, target, reason) })
}

func (g *guarded) Resume(ctx context.Context, target PauseTarget) error {
	_, err := ask(ctx, g, pauseCall("Resume", target, ""), func() (struct{}, error) { return struct{}{}, g.next.Resume(ctx, target) })
	return err
}

func (g *guarded) Pauses(ctx context.Context, f PauseFilter) (Page[*PauseInfo], error) {
	return askFor(ctx, g, Call{Method: "Pauses", UserID: f.UserID}, func(owner string) (Page[*PauseInfo], error) {
		f.UserID = owner
		return g.next.Pauses(ctx, f)
	})
}

// asked is what the record keeps of a limit that is to be set.
func (s LimitSpec) asked() Details {
	return ownedBy(detail("is", limitText(s.rule()), "reason", s.Reason), s.Owner)
}

// made says what was set before.
func (l *LimitInfo) made() Details {
	if l.was == nil {
		return nil
	}
	return detail("was", limitText(l.was))
}

// limitText is a limit in short, for the record: "max 5", "max 100 per minute, burst 10", "running 5, waiting 1000".
func limitText(r *dag.LimitRule) string {
	var parts []string
	add := func(word string, n *int32) {
		if n != nil {
			parts = append(parts, word+" "+strconv.Itoa(int(*n)))
		}
	}
	if r.Kind == dag.KindUser {
		add("running", r.Max)
	} else {
		add("max", r.Max)
	}
	if r.Kind == dag.KindRate && len(parts) > 0 {
		parts[0] += " per " + dag.RateWord(r.Per)
		if r.Burst > 0 {
			add("burst", &r.Burst)
		}
	}
	add("waiting", r.Waiting)
	return strings.Join(parts, ", ")
}

// rule is the limit as it is stored.
func (s LimitSpec) rule() *dag.LimitRule {
	kind, key := s.of()
	r := &dag.LimitRule{Kind: kind, Key: key, Max: s.Max, Waiting: s.Waiting, Per: s.Per, Burst: s.Burst, SetBy: s.by, Reason: s.Reason}
	if kind == dag.KindUser {
		r.Max = s.Running
	}
	return r
}

// named is a field of a target.
type namedTarget struct {
	field, name string
	kind        dag.LimitKind
}

func (t LimitTarget) named() (given []namedTarget) {
	for _, one := range []namedTarget{{"key", t.Key, dag.KindLimit}, {"rate", t.Rate, dag.KindRate}, {"pool", t.Pool, dag.KindPool}, {"user_id", t.UserID, dag.KindUser}, {"lock", t.Lock, dag.KindLock}} {
		if one.name != "" {
			given = append(given, one)
		}
	}
	return given
}

// of is what the target is; 0: none, or several.
func (t LimitTarget) of() (dag.LimitKind, string) {
	if given := t.named(); len(given) == 1 {
		return given[0].kind, given[0].name
	}
	return 0, ""
}

// faultList are faults of arguments, which are told together.
type faultList []InvalidArgumentError

func (l *faultList) add(field, format string, args ...any) {
	*l = append(*l, InvalidArgumentError{field, fmt.Sprintf(format, args...)})
}

// err tells all faults, by the first one's field; nil: there is none.
func (l faultList) err() error {
	if len(l) == 0 {
		return nil
	}
	first := l[0]
	for _, other := range l[1:] {
		first.Reason += "; " + other.Error()
	}
	return &first
}

// between checks a number that is there.
func (l *faultList) between(field string, n *int32, low, high int32) {
	if n != nil && (*n < low || *n > high) {
		l.add(field, "must be %d to %d", low, high)
	}
}

// only refuses a field that goes with another target than the one that is given.
func (l *faultList) only(of, field string, given bool) {
	if given {
		l.add(field, "goes with %s only", of)
	}
}

// text refuses a text for its fault, unless that is empty.
func (l *faultList) text(field, fault string) {
	if fault != "" {
		l.add(field, "%s", fault)
	}
}

// check finds what is wrong with a target.
func (t LimitTarget) check(faults *faultList) {
	given := t.named()
	switch {
	case len(given) == 0:
		faults.add("target", "is required: one of key, rate, pool and user_id")
		return
	case len(given) > 1:
		faults.add("target", "must be one of key, rate, pool and user_id, not several")
	}
	for _, g := range given {
		switch g.kind {
		case dag.KindLock:
			faults.add(g.field, "takes no limit: one task holds it")
		case dag.KindPool:
			if !dag.ValidPool(g.name) {
				faults.add(g.field, "must be 1 to %d letters, digits, - and _", dag.MaxPoolBytes)
			}
		default:
			faults.text(g.field, dag.LimitKeyFault(g.name))
		}
	}
}

// Check refuses what can't be set, with all that is wrong in one *[InvalidArgumentError].
func (s LimitSpec) Check() error {
	var faults faultList
	s.LimitTarget.check(&faults)
	if kind, _ := s.of(); kind == dag.KindUser {
		if s.Max != nil {
			faults.add("max", "does not go with a user: use running and waiting")
		}
		if s.Running == nil && s.Waiting == nil {
			faults.add("running", "is required, or waiting")
		}
		faults.between("running", s.Running, 0, dag.MaxLimitMax)
		faults.between("waiting", s.Waiting, 0, maxWaiting)
	} else if kind != 0 {
		if s.Max == nil {
			faults.add("max", "is required")
		}
		faults.between("max", s.Max, 0, dag.MaxLimitMax)
		faults.only("a user", "running", s.Running != nil)
		faults.only("a user", "waiting", s.Waiting != nil)
	}
	if kind, _ := s.of(); kind == dag.KindRate {
		if dag.RateWord(s.Per) == "" {
			faults.add("per", "must be second, minute or hour")
		}
		faults.between("burst", &s.Burst, 0, dag.MaxLimitMax)
	} else if kind != 0 {
		faults.only("a rate", "per", s.Per != 0)
		faults.only("a rate", "burst", s.Burst != 0)
	}
	faults.text("reason", dag.ReasonFault(s.Reason))
	if s.Owner != nil && *s.Owner != "" {
		faults.text("owner", dag.OwnerFault(*s.Owner))
	}
	return faults.err()
}

// Check refuses what can't be a target, with all that is wrong in one *[InvalidArgumentError].
func (t LimitTarget) Check() error {
	var faults faultList
	t.check(&faults)
	return faults.err()
}

// CheckWeight refuses what can't be set, with all that is wrong in one *[InvalidArgumentError].
func CheckWeight(user string, weight float64) error {
	var faults faultList
	faults.text("user_id", dag.LimitKeyFault(user))
	if !(weight >= minWeight && weight <= maxWeight) {
		faults.add("weight", "must be %v to %v", minWeight, maxWeight)
	}
	return faults.err()
}

// CheckPause refuses what can't be paused or resumed, with all that is wrong in one *[InvalidArgumentError].
func CheckPause(t PauseTarget, reason string) error {
	var faults faultList
	given := 0
	for _, is := range []bool{t.TreeID != "", t.Pool != "", t.Everything} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		faults.add("target", "is required: one of tree_id, pool and everything")
	case given > 1:
		faults.add("target", "must be one of tree_id, pool and everything, not several")
	}
	if t.Pool != "" && !dag.ValidPool(t.Pool) {
		faults.add("pool", "must be 1 to %d letters, digits, - and _", dag.MaxPoolBytes)
	}
	faults.text("reason", dag.ReasonFault(reason))
	return faults.err()
}

// setError is why something could not be set or taken away, in the service's words.
func (c *Coordinator) setError(what string, err error) error {
	if isLevel(err) {
		return err
	}
	for bound, of := range map[error]string{pg.ErrTooManyLimits: "limits", pg.ErrTooManyPauses: "pauses"} {
		if errors.Is(err, bound) {
			return fmt.Errorf("%w: %s: %w", ErrConflict, of, bound)
		}
	}
	if errors.Is(err, pg.ErrChanged) {
		return errChanged
	}
	return c.internal(what, err)
}

// errChanged is the conflict of who changes something that another has changed since it was read.
var errChanged = fmt.Errorf("%w: %w", ErrConflict, pg.ErrChanged)

// SetLimit sets a limit; see [Limiter].
func (c *Coordinator) SetLimit(ctx context.Context, spec LimitSpec) (*LimitInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	rule := spec.rule()
	before, err := c.store.SetLimitRule(ctx, here, rule, pg.RuleChange{Owner: spec.Owner, Revision: spec.IfRevision})
	if err != nil {
		return nil, c.setError("set a limit", err)
	}
	failpoint.Hit("coordinator.after-limit-commit")
	c.gatesChanged(ctx)
	if !rule.Counted {
		if err := c.countLimits(ctx); err != nil {
			return nil, c.internal("count what runs", err) // another coordinator does it, or this one in a moment
		}
		rule.Counted = true
	}
	info := showLimit(&pg.ShownLimit{LimitRule: *rule})
	info.was = before
	return info, nil
}

func showLimit(l *pg.ShownLimit) *LimitInfo {
	out := &LimitInfo{SetBy: l.SetBy, SetAt: l.SetAt, Held: l.Held, Waiters: l.Waiters, Counted: l.Counted, Revision: l.Revision}
	if l.Owner != "" {
		out.Owner = &l.Owner
	}
	out.Max, out.Waiting, out.Per, out.Burst, out.Reason = l.Max, l.Waiting, l.Per, l.Burst, l.Reason
	switch l.Kind {
	case dag.KindLimit:
		out.Key = l.Key
	case dag.KindLock:
		out.Lock = l.Key
	case dag.KindRate:
		out.Rate = l.Key
	case dag.KindPool:
		out.Pool = l.Key
	case dag.KindUser:
		out.UserID, out.Running, out.Max = l.Key, l.Max, nil
		out.Weight = float64(l.Weight)
	}
	return out
}

// Limits lists limits; see [Limiter].
func (c *Coordinator) Limits(ctx context.Context, f LimitFilter) (page Page[*LimitInfo], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	kind, key, err := limitAfter(f.Cursor)
	if err != nil {
		return page, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	list, err := c.store.LimitRules(ctx, here, kind, key, limit+1, !f.noPools, f.All)
	if err != nil {
		return page, c.internal("list limits", err)
	}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		page.Next = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "limit%d %s", last.Kind, last.Key))
	}
	for _, l := range list {
		page.Items = append(page.Items, showLimit(l))
	}
	return page, nil
}

// limitAfter is where a cursor of [Coordinator.Limits] is.
func limitAfter(cursor string) (kind dag.LimitKind, key string, err error) {
	if cursor == "" {
		return 0, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	place, ours := strings.CutPrefix(string(raw), "limit")
	number, key, whole := strings.Cut(place, " ")
	n, notNumber := strconv.ParseInt(number, 10, 16)
	if err != nil || !ours || !whole || notNumber != nil || dag.LimitKeyFault(key) != "" {
		return 0, "", &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
	}
	return dag.LimitKind(n), key, nil
}

// DeleteLimit takes a limit away; see [Limiter].
func (c *Coordinator) DeleteLimit(ctx context.Context, target LimitTarget, revision int32) error {
	if err := target.Check(); err != nil {
		return err
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	kind, key := target.of()
	if err := c.store.DeleteLimitRule(ctx, here, kind, key, revision); err != nil {
		return c.setError("delete a limit", err)
	}
	failpoint.Hit("coordinator.after-limit-commit")
	c.gatesChanged(ctx)
	return nil
}

// SetWeight sets a user's weight; see [Limiter].
func (c *Coordinator) SetWeight(ctx context.Context, user string, weight float64) error {
	if err := CheckWeight(user, weight); err != nil {
		return err
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	if err := c.store.SetShareWeight(ctx, here, user, float32(weight)); err != nil {
		return c.setError("set a weight", err)
	}
	return nil
}

// pauseOf is what a target says, as the store knows it. [ErrNotFound]: there is no such task.
func (c *Coordinator) pauseOf(ctx context.Context, t PauseTarget, reason string) (*pg.Pause, error) {
	if err := CheckPause(t, reason); err != nil {
		return nil, err
	}
	p := &pg.Pause{Scope: t.Scope(), Name: t.Pool, SetBy: t.by, Reason: reason}
	if p.Scope == dag.PauseTree {
		k, err := c.keyOf(ctx, t.TreeID)
		if err != nil {
			return nil, err
		}
		p.Tree = k.Tree()
	}
	return p, nil
}

// Pause stops the start of tasks; see [Limiter].
func (c *Coordinator) Pause(ctx context.Context, target PauseTarget, reason string) (*PauseInfo, error) {
	p, err := c.pauseOf(ctx, target, reason)
	if err != nil {
		return nil, err
	}
	if err := c.store.SetPause(ctx, p); err != nil {
		return nil, c.setError("pause", err)
	}
	failpoint.Hit("coordinator.after-pause-commit")
	c.gatesChanged(ctx)
	if err := c.settlePauses(ctx, p.ID); err != nil {
		return nil, c.internal("pause", err) // another coordinator does it, or this one in a moment
	}
	return showPause(p), nil
}

func showPause(p *pg.Pause) *PauseInfo {
	out := &PauseInfo{SetBy: p.SetBy, SetAt: p.SetAt, Reason: p.Reason}
	switch p.Scope {
	case dag.PauseEverything:
		out.Everything = true
	case dag.PausePool:
		out.Pool = p.Name
	case dag.PauseTree:
		out.TreeID = p.Name
	}
	return out
}

// Resume takes a pause away; see [Limiter].
func (c *Coordinator) Resume(ctx context.Context, target PauseTarget) error {
	p, err := c.pauseOf(ctx, target, "")
	if err != nil {
		return err
	}
	if err := c.store.DeletePause(ctx, p); err != nil {
		return c.setError("resume", err)
	}
	failpoint.Hit("coordinator.after-resume-commit")
	c.gatesChanged(ctx)
	return nil
}

// Pauses lists pauses; see [Limiter].
func (c *Coordinator) Pauses(ctx context.Context, f PauseFilter) (page Page[*PauseInfo], err error) {
	from, err := c.listFrom(ctx, "pause", f.UserID, f.Cursor, f.Limit)
	if err != nil || from == nil {
		return page, err
	}
	limit := from.limit
	list, err := c.store.Pauses(ctx, from.here, f.UserID, from.after, limit+1)
	if err != nil {
		return page, c.internal("list pauses", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = cursorTo("pause", list[limit-1].ID)
	}
	for _, p := range list {
		page.Items = append(page.Items, showPause(p))
	}
	return page, nil
}
