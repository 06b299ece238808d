package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// MaxNamespaces is how many namespaces there may be at a time.
const MaxNamespaces = 10_000

// Errors about namespaces that callers branch on.
var (
	// ErrNoNamespace: the namespace is not there, or is being deleted.
	ErrNoNamespace = errors.New("no such namespace")
	// ErrTooManyNamespaces: there are [MaxNamespaces].
	ErrTooManyNamespaces = fmt.Errorf("there are %d namespaces, and no room for more", MaxNamespaces)
)

// Namespace is a namespace as stored.
type Namespace struct {
	Key         dag.NamespaceKey
	Name        string
	Description string
	CreatedAt   time.Time
	Quotas
	Stored
	ClosedAt *time.Time // since when it is being deleted; nil: it is not
}

// Quotas are how much there may be in a namespace; nil: no bound.
type Quotas struct {
	OpenTrees *int64 // with an execution in progress
	Trees     *int64 // stored
	Tasks     *int64 // stored
	Bytes     *int64 // of inputs, params, schemas and custom keys, as submitted
}

// Any reports whether there is one.
func (q Quotas) Any() bool {
	return q.OpenTrees != nil || q.Trees != nil || q.Tasks != nil || q.Bytes != nil
}

// Stored is how much there is in a namespace; nil where it is not counted, as no quota was ever set.
type Stored struct {
	HasTrees, HasTasks, HasBytes *int64
}

// QuotaError refuses what would go over a quota. Its text is safe to show to users.
type QuotaError struct {
	Namespace string // or the user, of what waits
	Quota     string // "open_trees", "trees", "tasks", "bytes"; "waiting": a limit of what waits of a user
	Most      int64  // the quota
	Has       int64  // what there would be
}

// Error names the quota.
func (e *QuotaError) Error() string {
	if e.Quota == "waiting" {
		return fmt.Sprintf("of user %s at most %d tasks may wait, and this would make %d: try again when some have started", e.Namespace, e.Most, e.Has)
	}
	return fmt.Sprintf("namespace %s is at its quota of %s: %d at most, and this would make %d", e.Namespace, e.Quota, e.Most, e.Has)
}

// quotaRefusal makes of the server's refusal a *[QuotaError] or [ErrNoNamespace]; another error stays as it is.
func quotaRefusal(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refused.Code != "TG003" {
		return err
	}
	q := &QuotaError{}
	switch {
	case json.Unmarshal([]byte(refused.Detail), q) != nil:
		return err
	case q.Quota == "":
		return ErrNoNamespace
	}
	return q
}

// CreateNamespace makes a namespace. Errors: [ErrTaken], [ErrTooManyNamespaces], *[dag.LevelError] while a process lives that knows nothing of
// namespaces.
func (s *Store) CreateNamespace(ctx context.Context, name, description string, quotas Quotas) (*Namespace, error) {
	err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var n int
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("CountNamespaces")).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		queueLevel(b, dag.AccessLevel, s.version)
		b.Queue(sql("InsertNamespace"), name, description, quotas.OpenTrees, quotas.Trees, quotas.Tasks, quotas.Bytes)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if n >= MaxNamespaces {
			return ErrTooManyNamespaces
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
	switch {
	case isUnique(err, "namespace_name_key"):
		return nil, ErrTaken
	case err != nil:
		return nil, fmt.Errorf("create namespace: %w", levelRefusal(err, s.levels, dag.AccessLevel))
	}
	return s.NamespaceByName(ctx, name)
}

// NamespaceByName is the namespace of the name. [ErrNotFound].
func (s *Store) NamespaceByName(ctx context.Context, name string) (*Namespace, error) {
	return oneNamespace(s.namespaces(ctx, "NamespaceByName", name))
}

// NamespaceByKey is the namespace of the key. [ErrNotFound].
func (s *Store) NamespaceByKey(ctx context.Context, key dag.NamespaceKey) (*Namespace, error) {
	return oneNamespace(s.namespaces(ctx, "NamespacesByKeys", []dag.NamespaceKey{key}))
}

func oneNamespace(list []*Namespace, err error) (*Namespace, error) {
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Namespaces lists namespaces by name, after one.
func (s *Store) Namespaces(ctx context.Context, after string, limit int) ([]*Namespace, error) {
	return s.namespaces(ctx, "NamespacesAfter", after, limit)
}

func (s *Store) namespaces(ctx context.Context, statement string, args ...any) ([]*Namespace, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Namespace, error) {
		n := &Namespace{}
		return n, n.scan(row)
	})
}

func (n *Namespace) scan(row pgx.Row) error {
	return row.Scan(&n.Key, &n.Name, &n.Description, &n.CreatedAt, &n.OpenTrees, &n.Trees, &n.Tasks, &n.Bytes, &n.HasTrees, &n.HasTasks, &n.HasBytes, &n.ClosedAt)
}

// NamespacesOf are the namespaces of trees; those of trees that are not there are missing.
func (s *Store) NamespacesOf(ctx context.Context, trees []dag.TreeKey) (map[dag.TreeKey]dag.NamespaceKey, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("NamespaceOfTrees"), trees)
	if err != nil {
		return nil, fmt.Errorf("look up namespaces: %w", err)
	}
	out := make(map[dag.TreeKey]dag.NamespaceKey, len(trees))
	return out, eachRow(rows, func(v *values) {
		tree := dag.TreeKey(v.bigint())
		out[tree] = dag.NamespaceKey(v.integer())
	})
}
