package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// Waiting is what a task waits for from outside: a row of the table await.
type Waiting struct {
	dag.Await
	Task    dag.Key
	Attempt int32
	Since   time.Time
	Due     *time.Time  // nil: for ever
	Tree    dag.TreeKey // whose end it waits for; 0: none's

	sealed []byte
}

// queueWaits writes who begins to wait for something from outside, and who waits no more.
func (s *Store) queueWaits(ctx context.Context, b *pgx.Batch, d *dag.Decision, eff *Effects) error {
	var over []dag.Key
	for _, r := range d.Changed() {
		if r.Expected().State == dag.Awaiting && r.State != dag.Awaiting {
			over = append(over, r.Key)
		}
	}
	if len(over) > 0 {
		b.Queue(sql("DeleteAwaits"), over)
		eff.Followups++ // there may be one
	}
	n := len(d.Awaits)
	if n == 0 {
		return nil
	}
	tasks, attempts, kinds, names := make([]dag.Key, n), make([]int32, n), make([]int16, n), make([]string, n)
	resume, data, envelopes := make([]bool, n), make([]*string, n), make([][]byte, n)
	timeouts, until := make([]float64, n), make([]*time.Time, n)
	var trees []dag.TreeKey
	var named, subtrees []dag.Key
	var signals []string
	for i, a := range d.Awaits {
		tasks[i], attempts[i], kinds[i], names[i], resume[i] = a.Task, a.Attempt, int16(a.Kind), a.Name, a.Resume
		timeouts[i] = float64(a.Timeout) / float64(time.Millisecond)
		if !a.Until.IsZero() {
			until[i] = &a.Until
		}
		trees = append(trees, a.Task.Tree())
		if a.Kind == dag.AwaitSignal {
			named, signals = append(named, a.Task), append(signals, a.Name)
		}
		if a.Kind == dag.AwaitTree {
			subtrees = append(subtrees, a.Task)
		}
	}
	z, err := s.seals.sealer(ctx, trees...)
	if err != nil {
		return err
	}
	for i, a := range d.Awaits {
		if z != nil {
			if err := errors.Join(storableJSON(a.Data), storableText(a.Name)); err != nil {
				return err
			}
			envelopes[i] = z.seal(a.Task.Tree(), kindAwait, a.Data)
		} else {
			data[i] = textOf(a.Data)
		}
	}
	b.Queue(sql("InsertAwaits"), tasks, attempts, kinds, names, resume, data, envelopes, d.Now(), timeouts, until)
	if len(subtrees) > 0 {
		queueFollowups(b, FollowupSubtree, subtrees)
		eff.Followups += len(subtrees)
	}
	if len(named) > 0 {
		b.Queue(sql("ExpectSignals"), named, signals).Exec(func(ct pgconn.CommandTag) error {
			n := int(ct.RowsAffected())
			eff.Followups, eff.Kept = eff.Followups+n, eff.Kept+n
			return nil
		})
	}
	return nil
}

// signal is the name under which answers to the wait are kept.
func (w *Waiting) signal() string {
	if w.Kind == dag.AwaitApproval {
		return ""
	}
	return w.Name
}

// querier is what reads within a transaction, or without one.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// awaitsOf reads what tasks wait for; those that wait for nothing are missing, and data where the first ones have so many bytes. What can't be unsealed
// is an error, or is missing, too, if it may be lost.
func (s *Store) awaitsOf(ctx context.Context, q querier, tasks []dag.Key, bytes int64, lossy bool) (map[dag.Key]*Waiting, error) {
	rows, err := q.Query(ctx, sql("AwaitsOf"), tasks, bytes)
	if err != nil {
		return nil, fmt.Errorf("read what tasks wait for: %w", err)
	}
	out := map[dag.Key]*Waiting{}
	var w Waiting
	if _, err := pgx.ForEachRow(rows, []any{&w.Task, &w.Attempt, &w.Kind, &w.Name, &w.Resume, &w.Data, &w.sealed, &w.Since, &w.Due, &w.Tree}, func() error {
		one := w
		out[w.Task] = &one
		w = Waiting{}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read what tasks wait for: %w", err)
	}
	for _, w := range out {
		err := s.seals.open(ctx, w.Task.Tree(), kindAwait, w.sealed, &w.Data)
		if lossy && Unreadable(err) {
			delete(out, w.Task)
			continue
		}
		if err != nil {
			return nil, err
		}
		w.sealed = nil
	}
	return out, nil
}

// Waiting is what a task waits for from outside; nil: for nothing.
func (s *Store) Waiting(ctx context.Context, k dag.Key) (*Waiting, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	all, err := s.awaitsOf(ctx, s.pool, []dag.Key{k}, math.MaxInt64, false)
	return all[k], err
}

// addWaiting adds what tasks wait for from outside, to those that do.
func (s *Store) addWaiting(ctx context.Context, list []*Shown) error {
	var keys []dag.Key
	for _, t := range list {
		if t.State == dag.Awaiting {
			keys = append(keys, t.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	all, err := s.awaitsOf(ctx, s.pool, keys, pageBytes, true) // what can't be read of one hides no other
	if err != nil {
		return err
	}
	for _, t := range list {
		if w := all[t.Key]; w != nil && w.Attempt == t.Attempt {
			t.Waiting = w
		}
	}
	return nil
}

// SentSignal is a signal that somebody sends to a task, or the answer to its approval.
type SentSignal struct {
	Task   dag.Key
	Kind   dag.AwaitKind // [dag.AwaitSignal] or [dag.AwaitApproval]
	Name   string        // of the signal
	Key    string        // idempotency key; empty: none
	Answer dag.WaitAnswer
	// Checked is the attempt by whose wait the answer was checked; 0: the task did not wait for it.
	Checked int32
}

// SignalStatus is what became of a signal.
type SignalStatus int

// What becomes of signals.
const (
	SignalTaken   SignalStatus = iota + 1 // the task waited for it
	SignalKept                            // it is there once the task waits
	SignalLate                            // the first of its name counts
	SignalMoved                           // the task waits for it now, or no more, by another attempt than it was checked by: look again
	SignalSettled                         // the task has ended
	SignalUnasked                         // of an approval: the task does not wait for one
	SignalFull                            // as many are kept for the task as may be
)

// SignalResult is the answer to [Store.Signal].
type SignalResult struct {
	Status SignalStatus
	Replay bool      // the idempotency key was known: this is the first answer
	Before *Answered // with SignalSettled and SignalUnasked: who answered last; nil: nobody did
	State  dag.State // of the task before
	At     time.Time // when it was recorded
}

// Answered is who sent what has ended a wait.
type Answered struct {
	By      string
	At      time.Time
	Attempt int32
}

// sentBefore is a row of the table signal.
type sentBefore struct {
	id          int64
	key, sender string
	kept        bool
	at          time.Time
	taken       int32
}

// Signal ends the wait of a task by what it waits for, or keeps that for a wait to come, in one transaction. [ErrNotFound].
func (s *Store) Signal(ctx context.Context, sent SentSignal, room Room) (out *SignalResult, eff *Effects, err error) {
	k := sent.Task
	if sent.Kind == dag.AwaitApproval {
		sent.Name = ""
	}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		out, eff = nil, nil
		d, view, err := load{keys: []dag.Key{k}, policies: []dag.Key{k}, dependents: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		r := d.Row(k)
		if r == nil {
			return ErrNotFound
		}
		waits, err := s.awaitsOf(ctx, c, []dag.Key{k}, math.MaxInt64, false)
		if err != nil {
			return err
		}
		before, kept, err := signalsOf(ctx, c, k, sent.Name)
		if err != nil {
			return err
		}
		out = sent.judge(r, waits[k], before, kept)
		out.At = d.Now()
		if out.Replay || out.Status != SignalTaken && out.Status != SignalKept {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		sent.Answer.At = d.Now()
		b := &pgx.Batch{}
		taken := int32(0)
		if out.Status == SignalTaken {
			taken = r.Attempt
			if !d.Answer(k, r.Attempt, sent.Answer.Ends(waits[k].Await)) {
				out.Status = SignalSettled
				_, err := c.Exec(ctx, "rollback")
				return err
			}
		}
		if err := s.queueSignal(ctx, b, &sent, taken); err != nil {
			return err
		}
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	return out, eff, err
}

// judge says what becomes of a signal.
func (sent *SentSignal) judge(r *dag.Row, w *Waiting, before []sentBefore, kept int) *SignalResult {
	out := &SignalResult{State: r.State}
	for i := range before {
		b := &before[i]
		if b.taken != 0 {
			out.Before = &Answered{b.sender, b.at, b.taken}
		}
		if sent.Key != "" && sent.Key == b.key {
			out.Replay, out.Status, out.At = true, SignalTaken, b.at
			if b.kept {
				out.Status = SignalKept
			}
			return out
		}
	}
	open := slices.ContainsFunc(before, func(b sentBefore) bool { return b.taken == 0 })
	waiting := r.State == dag.Awaiting && w != nil && w.Attempt == r.Attempt && w.Kind == sent.Kind && w.Name == sent.Name
	switch {
	case r.State.Settled() || r.Cancelled():
		out.Status = SignalSettled
	case waiting && open: // one that was kept is about to be taken: it was the first
		out.Status = SignalLate
	case waiting && sent.Checked == r.Attempt:
		out.Status = SignalTaken
	case waiting || sent.Checked != 0:
		out.Status = SignalMoved
	case sent.Kind == dag.AwaitApproval:
		out.Status = SignalUnasked
	case open:
		out.Status = SignalLate
	case kept >= dag.MaxSignals:
		out.Status = SignalFull
	default:
		out.Status = SignalKept
	}
	return out
}

// signalsOf are the signals of a name that were sent to a task, and how many of all names are kept for it.
func signalsOf(ctx context.Context, c *pgx.Conn, k dag.Key, name string) (before []sentBefore, kept int, err error) {
	b := &pgx.Batch{}
	b.Queue(sql("SignalsOf"), k, name).Query(func(rows pgx.Rows) error {
		var one sentBefore
		_, err := pgx.ForEachRow(rows, []any{&one.id, &one.key, &one.sender, &one.kept, &one.at, &one.taken}, func() error {
			before = append(before, one)
			return nil
		})
		return err
	})
	b.Queue(sql("CountKept"), k, dag.MaxSignals).QueryRow(func(row pgx.Row) error { return row.Scan(&kept) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, 0, fmt.Errorf("read signals: %w", err)
	}
	return before, kept, nil
}

// AnsweredBy is who sent what has ended the wait of an attempt; nil: nobody did.
func (s *Store) AnsweredBy(ctx context.Context, k dag.Key, attempt int32) (*Answered, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	a := &Answered{Attempt: attempt}
	err := s.pool.QueryRow(ctx, sql("AnsweredBy"), k, attempt).Scan(&a.By, &a.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return a, err
}

// queueSignal writes what was sent; taken is the attempt whose wait it ended, 0: it is kept.
func (s *Store) queueSignal(ctx context.Context, b *pgx.Batch, sent *SentSignal, taken int32) error {
	text, err := json.Marshal(sent.Answer)
	if err != nil {
		return fmt.Errorf("write a signal: %w", err)
	}
	z, err := s.seals.sealer(ctx, sent.Task.Tree())
	if err != nil {
		return err
	}
	var envelope []byte
	payload := textOf(text)
	if z != nil {
		if err := storableJSON(text); err != nil {
			return err
		}
		payload, envelope = nil, z.seal(sent.Task.Tree(), kindSignal, text)
	}
	b.Queue(sql("InsertSignal"), sent.Task, sent.Name, sent.Key, sent.Answer.By, taken == 0, payload, envelope, sent.Answer.At, taken)
	return nil
}

// KeptSignal is a signal that a task is to take which was kept for it.
type KeptSignal struct {
	Task   dag.Key
	Wait   *Waiting // nil: it does not wait any more
	Signal int64    // 0: there is none any more
	By     string
	Answer dag.WaitAnswer
	// Refused: the signal is not what the wait asks for, so that it is dropped. Who hands it back says so.
	Refused bool
}

// KeptSignals are kept signals that tasks are to take, at most limit.
func (s *Store) KeptSignals(ctx context.Context, limit int) (all []KeptSignal, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("KeptSignals"), limit)
	if err != nil {
		return nil, fmt.Errorf("read kept signals: %w", err)
	}
	type read struct {
		w        Waiting
		attempt  *int32
		kind     *dag.AwaitKind
		resume   *bool
		id       *int64
		payload  []byte
		envelope []byte
		sender   string
	}
	var list []read
	var one read
	if _, err := pgx.ForEachRow(rows, []any{&one.w.Task, &one.attempt, &one.kind, &one.w.Name, &one.resume, &one.w.Data, &one.w.sealed, &one.id, &one.payload, &one.envelope, &one.sender}, func() error {
		list = append(list, one)
		one = read{}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read kept signals: %w", err)
	}
	for i := range list {
		one := &list[i]
		kept := KeptSignal{Task: one.w.Task, By: one.sender}
		tree := one.w.Task.Tree()
		if one.attempt != nil && one.id != nil {
			one.w.Attempt, one.w.Kind, one.w.Resume = *one.attempt, *one.kind, *one.resume
			kept.Wait, kept.Signal = &one.w, *one.id
			err := errors.Join(s.seals.open(ctx, tree, kindAwait, one.w.sealed, &one.w.Data), s.seals.open(ctx, tree, kindSignal, one.envelope, &one.payload))
			switch answer := readAnswer(one.payload); {
			case Unreadable(err) || err == nil && answer == nil:
				kept.Refused = true
			case err != nil:
				return nil, err
			default:
				kept.Answer = *answer
			}
		}
		all = append(all, kept)
	}
	return all, nil
}

// readAnswer reads the column payload of the table signal; nil if that can't be.
func readAnswer(text []byte) *dag.WaitAnswer {
	a := &dag.WaitAnswer{}
	if json.Unmarshal(text, a) != nil {
		return nil
	}
	return a
}

// TakeSignals has tasks take signals that were kept for them, or drops those that are refused, in one transaction. What has changed since it was
// read is left alone: what is kept then is read again.
func (s *Store) TakeSignals(ctx context.Context, all []KeptSignal, room Room) (eff *Effects, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff = nil
		tasks := make([]dag.Key, len(all))
		for i := range all {
			tasks[i] = all[i].Task
		}
		b := &pgx.Batch{}
		begin(b, c)
		var mine []dag.Key
		b.Queue(sql("TakeSignalFollowups"), tasks).Query(func(rows pgx.Rows) (err error) {
			mine, err = pgx.CollectRows(rows, pgx.RowTo[dag.Key])
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("take followups of signals: %w", err)
		}
		if len(mine) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		d, view, err := load{keys: mine, policies: mine, dependents: true, begun: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		b = &pgx.Batch{}
		if err := takeKept(ctx, c, b, d, all, mine); err != nil {
			return err
		}
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	return eff, err
}

// takeKept decides about kept signals of the tasks mine, which are locked, and queues what becomes of them.
func takeKept(ctx context.Context, c *pgx.Conn, b *pgx.Batch, d *dag.Decision, all []KeptSignal, mine []dag.Key) error {
	var tasks []dag.Key
	var attempts []int32
	var ids []int64
	for i := range all {
		if k := &all[i]; k.Wait != nil && slices.Contains(mine, k.Task) {
			tasks, attempts, ids = append(tasks, k.Task), append(attempts, k.Wait.Attempt), append(ids, k.Signal)
		}
	}
	rows, err := c.Query(ctx, sql("LockedWaits"), tasks, attempts, ids)
	if err != nil {
		return err
	}
	still, err := pgx.CollectRows(rows, pgx.RowTo[dag.Key])
	if err != nil {
		return fmt.Errorf("read waits: %w", err)
	}
	var taken, dropped []dag.Key
	var takenIDs, droppedIDs []int64
	var takenBy []int32
	for i := range all {
		k := &all[i]
		if !slices.Contains(mine, k.Task) {
			continue
		}
		b.Queue(sql("DeleteFollowup"), FollowupSignal, k.Task)
		switch {
		case k.Wait == nil || !slices.Contains(still, k.Task):
		case k.Refused:
			d.DropSignal(k.Task, k.Wait.Attempt)
			dropped, droppedIDs = append(dropped, k.Task), append(droppedIDs, k.Signal)
		case d.Answer(k.Task, k.Wait.Attempt, k.Answer.Ends(k.Wait.Await)):
			taken, takenIDs, takenBy = append(taken, k.Task), append(takenIDs, k.Signal), append(takenBy, k.Wait.Attempt)
		}
	}
	if len(taken) > 0 {
		b.Queue(sql("TakeSignals"), taken, takenIDs, takenBy)
	}
	if len(dropped) > 0 {
		b.Queue(sql("DropSignals"), dropped, droppedIDs)
	}
	return nil
}

// timeOut reads what the tasks of due timers wait for.
func (s *Store) timeOut(ctx context.Context, c *pgx.Conn, due []dag.Timer) (map[dag.Key]*Waiting, error) {
	var keys []dag.Key
	for _, t := range due {
		if t.Kind == dag.TimerAwait {
			keys = append(keys, t.Task)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return s.awaitsOf(ctx, c, keys, math.MaxInt64, true) // those whose on_timeout can't be read fail, and no others
}

// queueAnswers loads how waits have ended, for attempts that go on from there.
func queueAnswers(b *pgx.Batch, stretches []Stretch, tasks map[dag.Key]*Work) {
	var first []int64
	var ns, attempts []int32
	for _, s := range stretches {
		if s.Attempt > 1 {
			first, ns, attempts = append(first, int64(s.First)), append(ns, s.N), append(attempts, s.Attempt)
		}
	}
	if len(first) == 0 {
		return
	}
	b.Queue(sql("AnswersTo"), first, ns, attempts).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			key, payload, envelope := v.key(), v.json(), v.bytea()
			if w := tasks[key]; w != nil {
				w.answer, w.sealedAnswer = payload, envelope
			}
		})
	})
}
