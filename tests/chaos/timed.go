package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// Timed is a schedule whose runs begin while faults are injected, and its client.
type Timed struct {
	ID           string
	At           time.Duration // of its creation, from the history's start
	Apart        time.Duration // its instants; a minute: it has a crontab
	Past         int           // instants that were there before anybody looks, as if the cluster had been down
	Instants     int           // in all, unless it has a crontab: that goes on until its client pauses it
	Overlap      string
	Coalesce     bool
	AfterSuccess bool
	Grace        time.Duration
	Jitter       time.Duration
	MaxRuns      int             // 0: any number
	On           string          // the schedule that begins its runs in place of time; empty: none does
	Outcome      []string        // of that one's runs
	Triggers     []time.Duration // when somebody asks for a run, each after the one before
	Tree         oracle.Tree     // of each run; names in place of ids
}

// String is the schedule for people.
func (s Timed) String() string {
	if s.On != "" {
		return fmt.Sprintf("%s on %v of %s, %d tasks at %s", s.ID, s.Outcome, s.On, len(s.Tree.Tasks), s.At.Round(time.Millisecond))
	}
	return fmt.Sprintf("%s each %s, %d instants (%d past), overlap %q, coalesce %v, after success %v, grace %s, jitter %s, most %d, %d triggers, %d tasks at %s", s.ID, s.Apart, s.Instants, s.Past,
		s.Overlap, s.Coalesce, s.AfterSuccess, s.Grace, s.Jitter, s.MaxRuns, len(s.Triggers), len(s.Tree.Tasks), s.At.Round(time.Millisecond))
}

// timed draws schedules.
func (p *Plan) timed() {
	rng := rand.New(rand.NewPCG(p.Seed, 0x5c4e))
	if rng.IntN(4) == 0 {
		return
	}
	for n := range 1 + rng.IntN(3) {
		s := Timed{ID: fmt.Sprintf("h%d-s%d", p.Seed, n), At: upTo(rng, window/4), Apart: time.Second, Instants: 3 + rng.IntN(6), Overlap: []string{"", "skip", "queue_one", "allow", "cancel_other"}[rng.IntN(5)],
			Coalesce: rng.IntN(2) == 0, Grace: []time.Duration{time.Hour, time.Hour, 3 * time.Second}[rng.IntN(3)]}
		if rng.IntN(2) == 0 {
			s.Past = 1 + rng.IntN(s.Instants)
		}
		if rng.IntN(4) == 0 {
			s.Jitter = time.Duration(1+rng.IntN(3)) * time.Second
		}
		if rng.IntN(4) == 0 {
			s.MaxRuns = 1 + rng.IntN(4)
		}
		if rng.IntN(3) == 0 {
			s.Apart, s.Past = time.Minute, 1+rng.IntN(6)
		}
		shape := oracle.Shape{Prefix: s.ID, Tasks: 1 + rng.IntN(6), Fails: 0.3 * rng.Float64(), Optional: 0.3}
		if s.Overlap != "cancel_other" && rng.IntN(3) == 0 {
			s.AfterSuccess, shape.Fails = true, 0 // after a failure nothing else would run
		}
		s.Tree = timedTree(rng, shape)
		for range rng.IntN(3) {
			s.Triggers = append(s.Triggers, upTo(rng, window/2))
		}
		p.Timed = append(p.Timed, s)
		if rng.IntN(2) == 0 {
			next := Timed{ID: s.ID + "-on", At: s.At, On: s.ID, Outcome: [][]string{nil, {"failed"}, {"failed", "cancelled"}, {"any"}}[rng.IntN(4)]}
			next.Tree = timedTree(rng, oracle.Shape{Prefix: next.ID, Tasks: 1 + rng.IntN(3), Fails: 0.2, Optional: 0.3})
			p.Timed = append(p.Timed, next)
		}
	}
}

// timedTree is the tree of each run of a schedule.
func timedTree(rng *rand.Rand, shape oracle.Shape) oracle.Tree {
	t := oracle.Random(rng, shape)
	for i := range t.Tasks {
		t.Tasks[i].Ref = t.Tasks[i].ID
		if rng.IntN(3) == 0 {
			t.Tasks[i].Script.Millis = rng.IntN(700)
		}
	}
	return t
}

// document is the tree as a client writes it: tasks are called by their names.
func (s Timed) document() json.RawMessage {
	var list []map[string]any
	for i, t := range s.Tree.Tasks {
		schemas := map[string]any{"method": faults.ScriptedID}
		if t.Mapped {
			schemas["input_schema"] = map[string]any{"properties": map[string]any{"sum": map[string]any{"type": "integer"}, "keys": map[string]any{"type": "array"}}}
		}
		task := map[string]any{"name": t.ID, "schemas": schemas, "pool": faults.Pools[i%len(faults.Pools)], "repeatable": faults.Repeatable(i), "inputs": map[string]any{oracle.ScriptKey: t.Script},
			"retry": map[string]any{"max_attempts": t.MaxAttempts, "initial_delay": 0.005, "max_delay": 0.04}}
		if t.Parent >= 0 {
			task["parent_id"] = s.Tree.Tasks[t.Parent].ID
		}
		var deps []map[string]any
		for _, d := range t.Deps {
			deps = append(deps, map[string]any{"name": s.Tree.Tasks[d.On].ID, "required": !d.Optional})
		}
		if deps != nil {
			task["dependencies"] = deps
		}
		list = append(list, task)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("schedule %s: %v", s.ID, err))
	}
	return text
}

// begins is the instant that a schedule begins at, if it is made now.
func (s Timed) begins(now time.Time) time.Time {
	return now.Truncate(s.Apart).Add(-time.Duration(s.Past) * s.Apart)
}

// spec is what a client asks for at a moment.
func (s Timed) spec(now time.Time) client.Schedule {
	out := client.Schedule{ID: s.ID, Tree: s.document(), Overlap: s.Overlap, AfterSuccess: s.AfterSuccess, MaxRuns: s.MaxRuns}
	if s.On != "" {
		out.On = &client.ScheduleOn{Schedule: s.On, Outcome: s.Outcome}
		return out
	}
	begin, coalesce := s.begins(now), s.Coalesce
	out.StartAt, out.Coalesce, out.MisfireGrace = &begin, &coalesce, s.Grace.String()
	if s.Jitter > 0 {
		out.Jitter = s.Jitter.String()
	}
	if s.Apart == time.Minute {
		out.Cron = "* * * * *"
		return out
	}
	end := begin.Add(time.Duration(s.Instants) * s.Apart)
	if last := now.Add(2 * time.Second); end.Before(last) {
		end = last.Truncate(s.Apart) // one that nothing fires before is refused
	}
	out.Every, out.EndAt = s.Apart.String(), &end
	return out
}

// storedSchedule is one that is there.
type storedSchedule struct {
	Timed
	key        int64
	begin, end time.Time // no instant before, then or after
	made       time.Time
	from       time.Time // instants after this one are decided
	unsure     bool      // nobody knows whether instants before it was made are
	known      time.Time // it was there, by the store's clock
	calls      []string  // causes of the runs that somebody asked for
	decided    time.Time
	runs       []timedRun
}

// timedRun is what is stored of a run, or of an instant that has none.
type timedRun struct {
	history.Fire
	root string // of its tree; empty: it has none
}

// timer makes a schedule, and asks for runs.
func (g *game) timer(ctx context.Context, s Timed, began time.Time) error {
	if s.On != "" && !slices.ContainsFunc(g.plan.Timed, func(o Timed) bool { return o.ID == s.On }) {
		return nil // it is left out
	}
	time.Sleep(time.Until(began.Add(s.At)))
	err := g.call(ctx, "create schedule "+s.ID, func(ctx context.Context, c *client.Client) error {
		for {
			_, err := c.CreateSchedule(ctx, s.spec(time.Now()))
			switch {
			case errors.Is(err, client.ErrConflict): // a call without an answer was ours
				return nil
			case s.On != "" && errors.Is(err, client.ErrInvalid) && strings.Contains(err.Error(), s.On) && ctx.Err() == nil: // that one is yet to be made
				time.Sleep(50 * time.Millisecond)
			default:
				return err
			}
		}
	})
	if errors.Is(err, client.ErrInvalid) && g.c.clockMoved() { // by that clock its end has come, and so it has with the one that it is after
		g.remark("schedule %s is not made: %v", s.ID, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("schedule %s: %w", s.ID, err)
	}
	of := &storedSchedule{Timed: s}
	if err := g.backdate(ctx, of); err != nil {
		return fmt.Errorf("schedule %s: %w", s.ID, err)
	}
	g.mu.Lock()
	g.schedules = append(g.schedules, of)
	g.mu.Unlock()
	for n, after := range s.Triggers {
		time.Sleep(after)
		key := fmt.Sprint(s.ID, " ", n)
		if err := g.call(ctx, "trigger "+s.ID, func(ctx context.Context, c *client.Client) error {
			_, err := c.TriggerSchedule(ctx, client.ScheduleTrigger{ID: s.ID, IdempotencyKey: key})
			return err
		}); err != nil {
			return fmt.Errorf("schedule %s: %w", s.ID, err)
		}
		of.calls = append(of.calls, "key "+key)
	}
	return nil
}

// stored does something in the store, in one transaction, once Postgres can.
func (g *game) stored(ctx context.Context, what string, f func(context.Context, pgx.Tx) error) error {
	return until(ctx, startTime, what, func() error {
		conn, err := pgx.Connect(ctx, g.c.direct)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return f(ctx, tx) })
	})
}

// backdate reads what a schedule is, and makes it look as if nobody had been there since before its first instant, unless one is decided by now.
func (g *game) backdate(ctx context.Context, of *storedSchedule) error {
	tried := false
	return g.stored(ctx, "schedule "+of.ID+" is read", func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "select key from schedule where id = $1 for update", of.ID).Scan(&of.key); err != nil {
			return err
		}
		var begin, end *time.Time
		var decided int
		if err := tx.QueryRow(ctx, `select created_at, clock_timestamp(), (spec->>'start_at')::timestamptz, (spec->>'end_at')::timestamptz, (select count(*) from fire where schedule = $1 and kind = 1)
			from schedule where key = $1`, of.key).Scan(&of.made, &of.known, &begin, &end, &decided); err != nil {
			return err
		}
		if begin != nil {
			of.begin = *begin
		}
		if end != nil {
			of.end = *end
		}
		if of.from = of.made; of.On != "" || of.Past == 0 {
			return nil
		}
		if decided > 0 { // by us, or before we came
			of.unsure = tried
			return nil
		}
		tried = true
		of.from = of.begin.Add(-time.Millisecond)
		_, err := tx.Exec(ctx, "update schedule set decided_at = $2, next_at = $2 where key = $1", of.key, of.from)
		return err
	})
}

// settleSchedules waits until all instants are decided that were to come, and all runs have ended. Then it takes what became of them.
func (g *game) settleSchedules(ctx context.Context) error {
	var keys []int64
	for _, s := range g.schedules {
		keys = append(keys, s.key)
	}
	quiet := func() error { // in one snapshot
		return g.stored(ctx, "schedules are looked at", func(ctx context.Context, tx pgx.Tx) error {
			var what *string
			err := tx.QueryRow(ctx, `select string_agg(what, '; ') from (
				select format('schedule %s decides next at %s', id, next_at) as what from schedule where key = any($1) and next_at is not null and paused_at is null
					and (spec->>'cron' is null or next_at < now() + interval '1 second')
				union all select format('run %s of schedule %s, of %s, is in state %s', f.key, f.schedule, f.instant, f.state) from fire f where f.schedule = any($1) and f.state in (1, 2, 3)
				union all select format('followup of kind %s', kind) from followup) x`, keys).Scan(&what)
			g.restless = ""
			if what != nil {
				g.restless = *what
			}
			return err
		})
	}
	wait := func() error {
		return until(ctx, patience, "schedules come to rest", func() error {
			if err := quiet(); err != nil || g.restless == "" {
				return err
			}
			return errors.New(g.restless)
		})
	}
	if err := wait(); err != nil {
		return err
	}
	for _, s := range g.schedules {
		if s.Apart != time.Minute {
			continue
		}
		if err := g.call(ctx, "pause schedule "+s.ID, func(ctx context.Context, c *client.Client) error {
			_, err := c.PauseSchedule(ctx, s.ID, "the history is over")
			return err
		}); err != nil {
			return err
		}
	}
	if err := wait(); err != nil {
		return err
	}
	for _, s := range g.schedules {
		if err := g.readSchedule(ctx, s); err != nil {
			return fmt.Errorf("schedule %s: %w", s.ID, err)
		}
	}
	return nil
}

// readSchedule takes what became of a schedule.
func (g *game) readSchedule(ctx context.Context, s *storedSchedule) error {
	return g.stored(ctx, "schedule "+s.ID+" is read", func(ctx context.Context, tx pgx.Tx) error {
		s.runs = nil
		if err := tx.QueryRow(ctx, "select decided_at from schedule where key = $1", s.key).Scan(&s.decided); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select f.key, f.kind, f.instant, f.decided_at, f.state, coalesce(f.reason, ''), f.cause, f.n > 1 or f.until is not null, f.ended_at, coalesce(f.root_id, ''),
			(select count(*) from tree where fire = f.key), coalesce(t.fire = f.key, false), t.created_at, t.finished_at
			from fire f left join tree t on t.key = f.tree where f.schedule = $1 order by f.key`, s.key)
		if err != nil {
			return err
		}
		var r timedRun
		var ended, begun, over *time.Time
		if _, err := pgx.ForEachRow(rows, []any{&r.Key, &r.Kind, &r.Instant, &r.Decided, &r.State, &r.Reason, &r.Cause, &r.Many, &ended, &r.root, &r.Trees, &r.Own, &begun, &over}, func() error {
			r.Ended, r.Begun, r.Over = orZero(ended), orZero(begun), orZero(over)
			s.runs = append(s.runs, r)
			return nil
		}); err != nil {
			return err
		}
		var same, seen []string
		for _, r := range s.runs {
			same = append(same, fmt.Sprintln(r.Kind.Word(), r.Instant.UnixMicro(), r.State.Word(), r.root))
		}
		for r, err := range g.c.clients[0].ScheduleRuns(ctx, client.ScheduleRunFilter{ID: s.ID}) {
			if err != nil {
				return err
			}
			seen = append(seen, fmt.Sprintln(r.Kind, r.FireTime.UnixMicro(), r.Status, r.TreeID))
		}
		slices.Sort(same)
		if slices.Sort(seen); !slices.Equal(seen, same) {
			g.problem("%s: schedule %s: clients see the runs %q, and stored are %q", history.DecidedOnce, s.ID, seen, same)
		}
		return nil
	})
}

// orZero is a time that may be null.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// ended is what is held against the rules of a schedule.
func (s *storedSchedule) ended() history.Schedule {
	out := history.Schedule{ID: s.ID, Coalesce: s.Coalesce, AfterSuccess: s.AfterSuccess, Grace: s.Grace, Jitter: s.Jitter, MaxRuns: s.MaxRuns, Calls: s.calls, On: s.On, Known: s.known}
	out.Overlap, _ = dag.ParseOverlap(s.Overlap)
	switch {
	case s.Overlap != "":
	case s.AfterSuccess:
		out.Overlap = dag.OverlapAllow
	default:
		out.Overlap = dag.OverlapSkip
	}
	if s.On != "" {
		out.Ends = 1 << dag.FireCompleted
		for n, word := range s.Outcome {
			if n == 0 {
				out.Ends = 0
			}
			for _, state := range []dag.FireState{dag.FireCompleted, dag.FireFailed, dag.FireCancelled} {
				if word == "any" || word == state.Word() {
					out.Ends |= 1 << state
				}
			}
		}
	}
	for _, r := range s.runs {
		if !s.unsure || r.Kind != dag.FireInstant || r.Instant.After(s.made) {
			out.Fires = append(out.Fires, r.Fire)
		}
	}
	from := s.from
	if s.unsure {
		from = s.made
	}
	if s.On != "" {
		return out
	}
	for at := s.begin; !at.After(s.decided) && (s.end.IsZero() || at.Before(s.end)); at = at.Add(s.Apart) {
		if at.After(from) {
			out.Instants = append(out.Instants, at)
		}
	}
	return out
}

// judgeSchedules holds schedules against their rules.
func (g *game) judgeSchedules() {
	var all []history.Schedule
	for _, s := range g.schedules {
		all = append(all, s.ended())
		g.out.Counts.Schedules++
		for _, r := range s.runs {
			switch {
			case r.Trees > 0 && r.Kind == dag.FireEvent:
				g.out.Counts.Followed++
			case r.Trees > 0:
				g.out.Counts.Fired++
			default:
				g.out.Counts.Idle++
			}
		}
	}
	clock := history.Clock{Moved: g.c.clockMoved(), Late: time.Second}
	if slices.ContainsFunc(g.plan.Faults, func(f Fault) bool {
		return strings.Contains(kindOf(f.Kind).on, "postgres") || strings.Contains(f.Kind, "freeze")
	}) {
		clock.Late = window + 10*time.Second // transactions may have stood still
	}
	for _, p := range history.CheckSchedules(all, clock) {
		g.problem("%s", p)
	}
}

// treesOfRuns are the roots of all trees that schedules have begun.
func (g *game) treesOfRuns() (roots []string) {
	for _, s := range g.schedules {
		for _, r := range s.runs {
			if r.root != "" {
				roots = append(roots, r.root)
			}
		}
	}
	return roots
}

// readTimed reads the trees that schedules have begun, and appends them to trees as they are to be judged.
func (g *game) readTimed(ctx context.Context, runs map[string][]*faults.Run, h *history.History, trees []oracle.Tree) ([]oracle.Tree, error) {
	for _, s := range g.schedules {
		for _, r := range s.runs {
			if r.root == "" {
				continue
			}
			ids := map[string]string{} // by name
			for t, err := range g.c.clients[0].Tasks(ctx, client.TaskFilter{TreeOf: r.root}) {
				if err != nil {
					return nil, err
				}
				ids[t.Name] = t.ID
			}
			tree := copyOf(s.Tree)
			for i := range tree.Tasks {
				id, there := ids[tree.Tasks[i].ID]
				if !there {
					return nil, fmt.Errorf("tree %s has no task %s", r.root, tree.Tasks[i].ID)
				}
				tree.Tasks[i].ID = id
			}
			stopped := s.Overlap == "cancel_other"
			g.submits[tree.Tasks[0].ID] = history.Submit{Root: tree.Tasks[0].ID, Answer: history.Accepted, Steered: stopped, Whole: stopped}
			var err error
			if trees, err = g.readOne(ctx, []oracle.Tree{tree}, runs, h, trees); err != nil {
				return nil, err
			}
		}
	}
	return trees, nil
}
