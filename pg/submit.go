package pg

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Submission is a tree to be stored.
type Submission struct {
	namespace      dag.NamespaceKey
	IdempotencyKey string
	UserID         string // owner when the tasks name none
	Hold           bool   // store only
	// Show asks for the tasks as they are stored, if the tree is held. Its payloads must not change before the answer.
	Show    ShowLimits
	Timeout time.Duration
	// RequireExisting refuses a tree unless each id that it gives is a stored task's already (spec 3.1); the tree gets new ones, then.
	RequireExisting bool
	// ExistingOf is whose stored tasks count for that; empty: everybody's. Others are refused as if they were not there.
	ExistingOf string
	Limits     dag.Limits
	// Known tells whether a worker was ever known to have the executor (spec K13).
	Known func(executor string) bool
	// Repeatable tells whether all tasks of the executor are; nil: none.
	Repeatable func(executor string) bool
	// Levels say which level each task needs; none: all need the base level.
	Levels  dag.Levels
	Version string // of this process, to be named by whoever lacks a level that the tree is the first to use
	Tasks   iter.Seq2[*dag.Task, error]
	Room    Room
	// Waiter is the attempt for which the tree is submitted; nil: a user does it. Not with Hold or an idempotency key.
	Waiter *Waiter
	// Fire is the run of a schedule that the tree is; 0: of none. [ErrFired] unless the run is due.
	Fire int64
	// Run is the run of a flow that the tree is; nil: of none. [ErrTaken]: its revision is there; [ErrRunOpen]: the one before has not ended. *[dag.LevelError] while a live coordinator
	// knows no runs.
	Run *FlowRun
	// Webhooks are of the execution that begins; not with Hold.
	Webhooks []*Webhook
	// Locked is called once the tree's key ([dag.Unique]) is its own and nothing of that is committed; an error undoes the submission. nil: nothing is.
	Locked func() error
	// Large is called before a tree that is not small is stored, which takes a connection for as long as its tasks take to
	// arrive: it waits for leave, and gives what is to be called when the tree is stored. nil: any number at once.
	Large func(context.Context) (done func(), err error)
}

// Submitted is a stored tree.
type Submitted struct {
	Tree     dag.TreeKey // 0 when replayed
	RootID   string
	Tasks    int
	Replayed bool              // the idempotency key was known
	IDMap    map[string]string // ids that were taken, given -> actual; nil when none
	Effects  *Effects
	Shown    iter.Seq[*Shown] // the tasks as they were stored; nil: not asked for, too much, or replayed
	Existing bool             // nothing was stored: this is the tree that has the key ([dag.Unique])
}

// submissions is the part of a store that takes in trees: it reads their tasks, validates them by package dag, and writes
// them, each in one transaction. It changes nothing that is stored.
//
// A tree that is small is read whole first, and stored in a batch with others (submit_batch.go). The payloads of a large one
// flow into its own transaction as they are read (submit_large.go). Both stage the tree between reading and writing
// (submit_staged.go), and write the same rows (submit_rows.go).
type submissions struct {
	database
	pools    *poolCache
	resident *residentTrees // trees that begin are added
	seals    *seals
	counted  *countsDefault
	batches
}

// Submit validates and stores a tree of a namespace in one transaction. A small one shares its transaction with others that come at the
// same time; the payloads of a large one flow into its own as they are read. Errors: those of the tasks iterator as they are,
// *dag.InvalidTreeError, *dag.LevelError, *[QuotaError], [ErrNoNamespace], [ErrDigest], [ErrNoWaiter], *[KeyTakenError]; nothing is stored then. After another error the tree may be stored: only the
// idempotency key tells.
func (s *Store) Submit(ctx context.Context, namespace dag.NamespaceKey, sub Submission) (*Submitted, error) {
	sub.namespace = namespace
	out, err := s.submissions.submit(ctx, sub)
	return out, quotaRefusal(runRefusal(err))
}

// submit decides which way a tree is stored. Nobody waits for it, and no connection, while up to a small tree is read.
func (s *submissions) submit(ctx context.Context, sub Submission) (*Submitted, error) {
	if sub.Waiter != nil { // in a transaction of its own, which holds the waiter
		return s.submitLarge(ctx, sub)
	}
	small, all, stop := firstTasks(sub.Tasks)
	defer stop()
	sub.Tasks = all
	if small != nil {
		out, err := s.submitSmall(ctx, sub, small)
		if !isUnique(err, "spec_id") { // somebody took one of its ids meanwhile: a large one looks again
			return out, err
		}
	}
	if sub.Large != nil {
		done, err := sub.Large(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	return s.submitLarge(ctx, sub)
}

// CheckTree says what is wrong with a tree, as [Store.Submit] would. Nothing is stored.
func (s *Store) CheckTree(ctx context.Context, namespace dag.NamespaceKey, sub Submission) error {
	sub.namespace = namespace
	in := newIntake(&sub)
	for t, err := range sub.Tasks {
		if err == nil {
			_, err = in.add(t)
		}
		if err != nil {
			return err
		}
	}
	if err := in.checkRules(ctx, s.pool, namespace); err != nil {
		return err
	}
	_, err := in.builder.Build()
	return err
}

// submitSmall validates a tree that was read whole and stores it, with others or by itself.
func (s *submissions) submitSmall(ctx context.Context, sub Submission, tasks []*dag.Task) (*Submitted, error) {
	in := newIntake(&sub)
	for _, t := range tasks {
		if _, err := in.add(t); err != nil {
			return nil, err
		}
	}
	tree, err := s.stage(ctx, sub, in)
	if err != nil {
		return nil, err
	}
	store := s.storeInBatch
	if in.unique != nil { // whose key may have to be waited for
		store = s.storeAlone
	}
	out, err := store(ctx, newBatchedTree(tree, tasks))
	return out, levelRefusal(err, sub.Levels, in.refusedBelow())
}

// firstAnswer is what the submission with the namespace's idempotency key was answered, to one with the digests. Errors: [ErrNotFound]
// when there was none, [ErrDigest] when it was another tree.
func (s *submissions) firstAnswer(ctx context.Context, namespace dag.NamespaceKey, key string, digests digests) (*Submitted, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var had submission
	err := s.pool.QueryRow(ctx, sql("FindSubmissions"), []string{key}, []dag.NamespaceKey{namespace}).Scan(nil, &had.digest, &had.canonical, &had.rootID, &had.tasks, nil)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return had.answer(ctx, s.seals, digests)
}

// submission is what an idempotency key stands for.
type submission struct {
	digests
	rootID string
	tasks  int
}

// answer answers another submission with the key.
func (had submission) answer(ctx context.Context, x *seals, again digests) (*Submitted, error) {
	if same, err := x.same(ctx, had.digests, again); err != nil {
		return nil, err
	} else if !same {
		return nil, ErrDigest
	}
	return &Submitted{Replayed: true, RootID: had.rootID, Tasks: had.tasks}, nil
}
