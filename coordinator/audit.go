package coordinator

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	auditEndedTasks  = 20_000      // tasks of trees that have ended, or may have, looked at in one pass
	auditShare       = 10          // a pause is at least that many times as long as the step before
	auditMaxPause    = time.Minute // unless that is longer than this
	auditFollowups   = 1000        // followups watched
	auditContents    = 16          // contents of artifacts that a pass looks for in their store
	verifiedContents = 1000        // and that Verify of all looks for
	auditSeen        = 100_000     // violations that are remembered, so that each is counted once
)

// Verify derives the rules anew from what is stored; see [Service]. What takes time to be seen, a followup that nobody does,
// is left to the auditor that runs all the time.
func (c *Coordinator) Verify(ctx context.Context, treeOf string) iter.Seq2[*Violation, error] {
	return func(yield func(*Violation, error) bool) {
		if treeOf != "" {
			k, err := c.keyOf(ctx, treeOf)
			if err != nil {
				yield(nil, err)
				return
			}
			found, err := c.store.AuditTree(ctx, k.Tree(), c.auditOptions())
			if c.yieldViolations(ctx, found, err, yield) {
				found, err = c.lostArtifacts(ctx, k.Tree())
				c.yieldViolations(ctx, found, err, yield)
			}
			return
		}
		found, err := c.store.AuditRest(ctx, c.auditOptions())
		for at := dag.TreeKey(0); c.yieldViolations(ctx, found, err, yield); {
			if found, at, _, err = c.store.AuditAll(ctx, at, c.auditOptions()); at == 0 {
				if c.yieldViolations(ctx, found, err, yield) {
					found, _, err = c.lostContents(ctx, 0, verifiedContents)
					c.yieldViolations(ctx, found, err, yield)
				}
				return
			}
		}
	}
}

// yieldViolations yields what a step found and reports whether to go on.
func (c *Coordinator) yieldViolations(ctx context.Context, found []pg.Violation, err error, yield func(*Violation, error) bool) bool {
	var shown []*Violation
	if err == nil && len(found) > 0 {
		shown, err = c.showViolations(ctx, found)
	}
	if err != nil {
		yield(nil, c.internal("verify", err))
		return false
	}
	for _, v := range shown {
		if !yield(v, nil) {
			return false
		}
	}
	return ctx.Err() == nil
}

func (c *Coordinator) showViolations(ctx context.Context, found []pg.Violation) ([]*Violation, error) {
	trees, tasks, err := c.store.AuditNames(ctx, found)
	if err != nil {
		return nil, err
	}
	out := make([]*Violation, len(found))
	for i, v := range found {
		out[i] = &Violation{Kind: v.Kind, TreeID: trees[i], TaskID: tasks[i], Text: v.Text}
	}
	return out, nil
}

func (c *Coordinator) auditOptions() pg.AuditOptions {
	return pg.AuditOptions{Retention: c.cfg.Retention, Stuck: c.cfg.Stuck}
}

// runAudit derives the rules anew, all the time, in one coordinator at a time: open trees in each pass, all others slowly,
// a part in each. Violations are counted and logged once by whoever audits.
func (c *Coordinator) runAudit(ctx context.Context) error {
	if c.cfg.Audit < 0 {
		<-ctx.Done()
		return nil
	}
	a := &auditor{Coordinator: c, seen: map[pg.Violation]bool{}, followups: map[pg.PendingFollowup]time.Time{}}
	defer a.giveUp()
	for sleep(ctx, max(c.cfg.Audit, a.pause())) {
		err := a.pass(ctx)
		if err == nil && a.turn != nil || err != nil && ctx.Err() == nil {
			c.audited(err)
		}
		if err != nil {
			a.giveUp()
		}
	}
	return nil
}

// auditor is what the loop keeps between passes. One goroutine.
type auditor struct {
	*Coordinator
	turn      *pg.AuditTurn // nil: another coordinator audits
	took      time.Duration // the longest step since the last pause
	at        dag.TreeKey   // how far the slow walk over all trees got
	content   int64         // and that over contents of artifacts
	seen      map[pg.Violation]bool
	followups map[pg.PendingFollowup]time.Time // since when each has been where it is
}

// pause is how long to rest so that the audit takes a small share of Postgres only.
func (a *auditor) pause() time.Duration {
	took := a.took
	a.took = 0
	return min(auditShare*took, auditMaxPause)
}

func (a *auditor) giveUp() {
	if a.turn != nil {
		a.turn.End()
		a.turn = nil
	}
}

func (a *auditor) pass(ctx context.Context) (err error) {
	if a.turn == nil {
		if a.turn, err = a.store.TakeAuditTurn(ctx); err != nil || a.turn == nil {
			return err
		}
	}
	found, err := a.store.AuditRest(ctx, a.auditOptions())
	if err != nil {
		return err
	}
	late, err := a.lateFollowups(ctx)
	if err != nil {
		return err
	}
	a.report(ctx, append(found, late...))
	lost, next, err := a.lostContents(ctx, a.content, auditContents)
	if err == nil { // else the store of artifacts is away, which the doctor tells
		a.content = next
		a.report(ctx, lost)
	}
	if err := a.walk(ctx, 0, 1<<62, a.store.AuditOpen); err != nil {
		return err
	}
	return a.walk(ctx, a.at, auditEndedTasks, func(ctx context.Context, after dag.TreeKey, o pg.AuditOptions) ([]pg.Violation, dag.TreeKey, int, error) {
		found, next, tasks, err := a.store.AuditAll(ctx, after, o)
		if err == nil {
			a.at = next
		}
		return found, next, tasks, err
	})
}

type auditStep func(ctx context.Context, after dag.TreeKey, o pg.AuditOptions) ([]pg.Violation, dag.TreeKey, int, error)

// walk goes over trees step by step, until there are no more or it has looked at the tasks given. It works for a small
// share of the time only.
func (a *auditor) walk(ctx context.Context, from dag.TreeKey, tasks int, step auditStep) error {
	for at := from; ; {
		if err := a.turn.Keep(ctx); err != nil {
			return err
		}
		begin := time.Now()
		found, next, n, err := step(ctx, at, a.auditOptions())
		if err != nil {
			return err
		}
		a.took = max(a.took, time.Since(begin))
		a.report(ctx, found)
		if tasks -= n; next == 0 || tasks <= 0 {
			return nil
		}
		if at = next; !sleep(ctx, a.pause()) {
			return nil
		}
	}
}

// lateFollowups are those that have not moved for too long.
func (a *auditor) lateFollowups(ctx context.Context) ([]pg.Violation, error) {
	list, err := a.store.PendingFollowups(ctx, auditFollowups)
	if err != nil {
		return nil, err
	}
	before := a.followups
	a.followups = make(map[pg.PendingFollowup]time.Time, len(list))
	var late []pg.Violation
	for _, ch := range list {
		since, known := before[ch]
		if !known {
			since = time.Now()
		}
		a.followups[ch] = since
		if known && time.Since(since) > a.cfg.Stuck {
			late = append(late, pg.Violation{Kind: "followup_stuck", Tree: ch.Task.Tree(), Task: ch.Task,
				Text: fmt.Sprintf("a followup of kind %d has not moved on from %d for a long time", ch.Kind, ch.Cursor)})
		}
	}
	return late, nil
}

// report reports what was not known yet.
func (a *auditor) report(ctx context.Context, found []pg.Violation) {
	var news []pg.Violation
	for _, v := range found {
		text := v.Text
		v.Text = "" // the same violation may look different in a while
		if a.seen[v] {
			continue
		}
		if len(a.seen) >= auditSeen {
			clear(a.seen)
		}
		a.seen[v] = true
		v.Text = text
		news = append(news, v)
	}
	if len(news) == 0 {
		return
	}
	shown, err := a.showViolations(ctx, news)
	for i, v := range news {
		var names *Violation
		if err == nil {
			names = shown[i]
		}
		a.violated(&v, names)
	}
}
