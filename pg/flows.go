package pg

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of flows.
const (
	MaxFlows        = 10_000 // of a namespace
	MaxFlowVersions = 100    // of a flow: older ones are forgotten
	maxFlowTexts    = 1000   // that are deleted at once
)

// ErrTooManyFlows: a namespace has as many as may be.
var ErrTooManyFlows = fmt.Errorf("there are %d flows in the namespace already, and no room for more", MaxFlows)

// ErrOthers: what is to be changed belongs to another user than the only one whose it may be.
var ErrOthers = errors.New("it belongs to another user")

// ErrRunOpen: the revision before one that was to begin has not ended.
var ErrRunOpen = errors.New("the run has not ended")

// ErrReplaced: a tree is a revision of a run of a flow, and a later one is there: it does not run again.
var ErrReplaced = errors.New("the tree is a revision of a run, and a later one has begun: only the last one may run, so resume the run instead")

// Flow is a version of a registered flow.
type Flow struct {
	Key       int64
	ID        string
	Version   int32  // from 1
	UserID    string // whose it is; empty: nobody's
	Text      int64  // see [Store.FlowText]
	SHA256    []byte // of the text
	Bundle    string // of its runs; empty: none
	CreatedBy string
	CreatedAt time.Time
}

func scanFlow(row pgx.CollectableRow) (*Flow, error) {
	f := &Flow{}
	return f, row.Scan(&f.Key, &f.ID, &f.Version, &f.UserID, &f.Text, &f.SHA256, &f.CreatedBy, &f.CreatedAt, &f.Bundle)
}

// FlowRun is a revision of a run of a flow.
type FlowRun struct {
	Key           int64
	FlowID, RunID string
	Revision      int32  // from 1
	UserID        string // empty: nobody's
	Version       int32  // of the registered flow; 0: it was run by its text
	Text          int64  // see [Store.FlowText]
	SHA256        []byte // of the text
	Bundle        int64  // a version of one, see [Store.Bundle]; 0: none
	Stale         bool   // the source of the bundle had failed
	Body          []byte // JSON: what it was given, and what its tasks are; nil: not asked for
	CreatedBy     string
	CreatedAt     time.Time
	Tree          dag.TreeKey
	RootID        string
	ScheduleID    string      // that it comes from; empty: none
	FireTime      *time.Time  // the instant; nil: it comes from none
	After         dag.TreeKey // the tree of the revision before, of one that is to begin; 0: it is the first

	FinishedAt                 *time.Time // nil: it has not ended
	Failed, Allowed, Cancelled int32      // tasks

	sealed []byte
}

func scanFlowRun(row pgx.CollectableRow) (*FlowRun, error) {
	r := &FlowRun{}
	return r, row.Scan(&r.Key, &r.FlowID, &r.RunID, &r.Revision, &r.UserID, &r.Version, &r.Text, &r.SHA256, &r.Bundle, &r.Stale, &r.CreatedBy, &r.CreatedAt, &r.RootID, &r.Tree,
		&r.FinishedAt, &r.Failed, &r.Allowed, &r.Cancelled, &r.ScheduleID, &r.FireTime, &r.Body, &r.sealed)
}

// flowRunRows are runs to be stored.
type flowRunRows struct {
	namespaces                       []dag.NamespaceKey
	flows, runs, users, roots, asked []string
	revisions, versions              []int32
	texts, bundles                   []int64
	stale                            []bool
	bodies                           []*string
	sealed                           [][]byte
	trees                            []dag.TreeKey
	after                            []dag.TreeKey
	schedules                        []string
	instants                         []*time.Time
}

// add adds the run that a tree is, if it is one.
func (r *flowRunRows) add(t *stagedTree, rootID string, z *sealer) {
	run := t.sub.Run
	if run == nil {
		return
	}
	r.namespaces, r.flows, r.runs, r.users = append(r.namespaces, t.sub.namespace), append(r.flows, run.FlowID), append(r.runs, run.RunID), append(r.users, t.g.UserID)
	r.revisions, r.versions, r.texts = append(r.revisions, run.Revision), append(r.versions, run.Version), append(r.texts, run.Text)
	r.bundles, r.stale = append(r.bundles, run.Bundle), append(r.stale, run.Stale)
	r.trees, r.roots, r.asked = append(r.trees, t.tree), append(r.roots, rootID), append(r.asked, run.CreatedBy)
	if z == nil {
		r.bodies, r.sealed = append(r.bodies, jsonOrNull(run.Body)), append(r.sealed, nil)
	} else {
		r.bodies, r.sealed = append(r.bodies, nil), append(r.sealed, z.seal(t.tree, kindFlow, run.Body))
	}
	r.schedules, r.instants = append(r.schedules, run.ScheduleID), append(r.instants, run.FireTime)
	if run.After != 0 {
		r.after = append(r.after, run.After)
	}
}

// queue writes them, if there are any.
func (r *flowRunRows) queue(b *pgx.Batch, version string) {
	if len(r.trees) == 0 {
		return
	}
	queueCoordinators(b, dag.RegistryLevel, version)
	if len(r.after) > 0 {
		slices.Sort(r.after)
		for _, tree := range r.after { // none of them begins to run again meanwhile
			b.Queue(sql("LockExecution"), tree)
		}
		b.Queue(sql("HoldRevisions"), r.after)
	}
	b.Queue(sql("InsertFlowRuns"), r.namespaces, r.flows, r.runs, r.revisions, r.users, r.versions, r.texts, r.bodies, r.sealed, r.trees, r.roots, r.asked, r.schedules, r.instants, r.bundles, r.stale)
}

// runRefusal says why the run of a flow was not stored; another error stays as it is.
func runRefusal(err error) error {
	if isUnique(err, "flow_run_id") {
		return ErrTaken
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "TG001" && strings.HasPrefix(e.Message, "begin revisions of runs:") {
		return ErrRunOpen
	}
	return err
}

// PutFlowText keeps the text of a flow, for at least 50 minutes if nothing comes to name it.
func (s *Store) PutFlowText(ctx context.Context, namespace dag.NamespaceKey, text []byte) (key int64, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	sum := sha256.Sum256(text)
	if err := s.pool.QueryRow(ctx, sql("FindFlowText"), namespace, sum[:]).Scan(&key); !errors.Is(err, pgx.ErrNoRows) {
		return key, err
	}
	body, err := json.Marshal(string(text))
	if err != nil {
		return 0, err
	}
	plain, envelope, err := s.sealAs(ctx, kindFlow, namespace, body)
	if err != nil {
		return 0, err
	}
	if err := s.pool.QueryRow(ctx, sql("PutFlowText"), namespace, sum[:], plain, envelope).Scan(&key); err != nil {
		return 0, fmt.Errorf("store the text of a flow: %w", err)
	}
	return key, nil
}

// FlowText is the text of a flow. [ErrNotFound].
func (s *Store) FlowText(ctx context.Context, key int64) ([]byte, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var namespace dag.NamespaceKey
	var body, envelope []byte
	if err := s.pool.QueryRow(ctx, sql("FlowText"), key).Scan(&namespace, &body, &envelope); err != nil {
		return nil, orNone(err, ErrNotFound)
	}
	if err := s.seals.open(ctx, namespaceItself(namespace), kindFlow, envelope, &body); err != nil {
		return nil, err
	}
	var text string
	err := json.Unmarshal(body, &text)
	return []byte(text), err
}

// ForgetFlowTexts deletes texts that nothing names any more, a bounded number, and reports whether there may be more.
func (s *Store) ForgetFlowTexts(ctx context.Context) (more bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("ForgetFlowTexts"), maxFlowTexts)
	if err != nil {
		return false, fmt.Errorf("delete texts of flows: %w", err)
	}
	return tag.RowsAffected() == maxFlowTexts, nil
}

// ApplyFlow stores a version of a flow, which gets what is known of it then; its text is one that was put. The newest version with the same text is it, as it is. The owner of what
// there is stays; only, unless it is empty, is the only user whose it may be. [ErrTooManyFlows]; [ErrOthers]; *[dag.LevelError].
func (s *Store) ApplyFlow(ctx context.Context, namespace dag.NamespaceKey, f *Flow, only string) (fresh bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		queueCoordinators(b, dag.RegistryLevel, s.version)
		b.Queue(sql("LockFlows"), namespace)
		flows := 0
		b.Queue(sql("CountFlows"), namespace, MaxFlows).QueryRow(func(row pgx.Row) error { return row.Scan(&flows) })
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return levelRefusal(err, s.editLevels(), dag.RegistryLevel)
		}
		rows, err := c.Query(ctx, sql("LastFlow"), namespace, f.ID)
		if err != nil {
			return err
		}
		last, err := pgx.CollectRows(rows, scanFlow)
		switch {
		case err != nil:
			return err
		case len(last) > 0 && only != "" && last[0].UserID != only:
			return ErrOthers
		case len(last) == 0 && flows >= MaxFlows:
			return ErrTooManyFlows
		case len(last) > 0 && last[0].Text == f.Text && last[0].Bundle == f.Bundle:
			*f, fresh = *last[0], false
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		made := *f
		if made.Version = 1; len(last) > 0 {
			made.Version, made.UserID = last[0].Version+1, last[0].UserID
		}
		if err := c.QueryRow(ctx, sql("InsertFlow"), namespace, f.ID, made.Version, made.UserID, f.Text, f.CreatedBy, MaxFlowVersions, f.Bundle).Scan(&made.Key, &made.CreatedAt); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, "commit"); err != nil {
			return err
		}
		*f, fresh = made, true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("store a flow: %w", err)
	}
	return fresh, nil
}

// FlowVersions are the versions of a flow, the newest first, or one of them; none: there is none.
func (s *Store) FlowVersions(ctx context.Context, namespace dag.NamespaceKey, id string, version int32) ([]*Flow, error) {
	return s.readFlows(ctx, "FlowVersions", namespace, id, version, MaxFlowVersions)
}

// Flows lists the newest versions of flows with ids after one, of a user unless that is empty.
func (s *Store) Flows(ctx context.Context, namespace dag.NamespaceKey, after, user string, limit int) ([]*Flow, error) {
	return s.readFlows(ctx, "FlowsBehind", namespace, after, user, limit)
}

func (s *Store) readFlows(ctx context.Context, statement string, args ...any) ([]*Flow, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", err)
	}
	return pgx.CollectRows(rows, scanFlow)
}

// FlowName names a version of a flow.
type FlowName struct {
	Namespace dag.NamespaceKey
	ID        string
	Version   int32 // 0: the newest
}

// FlowsToRun reads flows with their texts, which are kept for at least 50 minutes; those that are not there are left out.
func (s *Store) FlowsToRun(ctx context.Context, names []FlowName) (map[FlowName]*NamedFlow, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	out := make(map[FlowName]*NamedFlow, len(names))
	if len(names) == 0 {
		return out, nil
	}
	namespaces, ids, versions := make([]dag.NamespaceKey, len(names)), make([]string, len(names)), make([]int32, len(names))
	for i, n := range names {
		namespaces[i], ids[i], versions[i] = n.Namespace, n.ID, n.Version
	}
	rows, err := s.pool.Query(ctx, sql("FlowsToRun"), namespaces, ids, versions)
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", err)
	}
	type found struct {
		NamedFlow
		of             int
		fresh          bool
		body, envelope []byte
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*found, error) {
		f := &found{}
		return f, row.Scan(&f.of, &f.Version, &f.Key, &f.fresh, &f.body, &f.envelope, &f.Bundle, &f.UserID)
	})
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", err)
	}
	for _, f := range all {
		name, text := names[f.of-1], ""
		if err := s.seals.open(ctx, namespaceItself(name.Namespace), kindFlow, f.envelope, &f.body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(f.body, &text); err != nil {
			return nil, err
		}
		if f.Text = []byte(text); !f.fresh {
			if f.Key, err = s.PutFlowText(ctx, name.Namespace, f.Text); err != nil {
				return nil, err
			}
		}
		out[name] = &f.NamedFlow
	}
	return out, nil
}

// NamedFlow is a version of a flow that is to run.
type NamedFlow struct {
	Version int32
	Key     int64 // see [Store.FlowText]
	Text    []byte
	Bundle  string // of its runs; empty: none
	UserID  string // whose it is; empty: nobody's
}

// OwnerOfFlow is whose a flow is; empty: nobody's. [ErrNotFound].
func (s *Store) OwnerOfFlow(ctx context.Context, namespace dag.NamespaceKey, id string) (user string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	return user, orNone(s.pool.QueryRow(ctx, sql("OwnerOfFlow"), namespace, id).Scan(&user), ErrNotFound)
}

// OwnerOfRun is whose a run is, which is named as [SplitRun] reads it; of several of that id, the one of the user who asks. [ErrNotFound].
func (s *Store) OwnerOfRun(ctx context.Context, namespace dag.NamespaceKey, name, asks string) (user string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	flow, run := SplitRun(name)
	return user, orNone(s.pool.QueryRow(ctx, sql("OwnerOfRun"), namespace, run, flow, asks).Scan(&user), ErrNotFound)
}

// SplitRun reads FLOW/RUN, or RUN: the flow is empty, then.
func SplitRun(name string) (flow, run string) {
	if flow, run, named := strings.Cut(name, "/"); named {
		return flow, run
	}
	return "", name
}

// DeleteFlow deletes all versions of a flow, if it is the user's only, unless that is empty. Its runs stay. [ErrNotFound].
func (s *Store) DeleteFlow(ctx context.Context, namespace dag.NamespaceKey, id, only string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("DeleteFlow"), namespace, id, only)
	if err != nil {
		return fmt.Errorf("delete a flow: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return nil
}

// FlowRunsNamed are the revisions of the runs of an id, of a flow and of a user unless they are empty, by flow, the newest first. The newest of each run has its body.
func (s *Store) FlowRunsNamed(ctx context.Context, namespace dag.NamespaceKey, flow, run, user string) ([]*FlowRun, error) {
	list, err := s.readFlowRuns(ctx, "FlowRunsNamed", namespace, run, flow, user)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if err := s.seals.open(ctx, r.Tree, kindFlow, r.sealed, &r.Body); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// FlowRuns lists the newest revisions of runs below a key (0: from the newest), the newest first; of a flow and of a user, unless they are empty.
func (s *Store) FlowRuns(ctx context.Context, namespace dag.NamespaceKey, below int64, flow, user string, limit int) ([]*FlowRun, error) {
	if below == 0 {
		below = math.MaxInt64
	}
	return s.readFlowRuns(ctx, "FlowRunsDown", namespace, below, limit, flow, user)
}

func (s *Store) readFlowRuns(ctx context.Context, statement string, args ...any) ([]*FlowRun, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read runs of flows: %w", err)
	}
	return pgx.CollectRows(rows, scanFlowRun)
}
