package pg

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// AgentTask is a task of the A2A protocol.
type AgentTask struct {
	Number      int64 // rises with time
	ID, Context string
	Tree        dag.TreeKey
	TaskID      string // that is executed
	History     []byte
	CreatedAt   time.Time

	Sealed []byte // the history, until it is opened
}

// KeepAgentTask stores a task of the A2A protocol with its tree, and drops the oldest of those that the tree has beyond keep. [ErrNotFound].
func (s *Store) KeepAgentTask(ctx context.Context, t *AgentTask, keep int) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	z, err := s.seals.sealer(ctx, t.Tree)
	if err != nil {
		return fmt.Errorf("keep agent task: %w", err)
	}
	history, envelope := t.History, []byte(nil)
	if z != nil {
		history, envelope = []byte{}, z.seal(t.Tree, kindHistory, append([]byte{}, history...))
	}
	done, err := s.pool.Exec(ctx, sql("KeepAgentTask"), t.ID, t.Context, t.Tree, t.TaskID, history, keep-1, envelope)
	switch {
	case err != nil:
		return fmt.Errorf("keep agent task: %w", err)
	case done.RowsAffected() == 0:
		return ErrNotFound
	}
	return nil
}

// DropAgentTask deletes one of a namespace, if it is there.
func (s *Store) DropAgentTask(ctx context.Context, namespace dag.NamespaceKey, id string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("DropAgentTask"), id, namespace); err != nil {
		return fmt.Errorf("drop agent task: %w", err)
	}
	return nil
}

// AgentTask shows one of a namespace. [ErrNotFound].
func (s *Store) AgentTask(ctx context.Context, namespace dag.NamespaceKey, id string) (*AgentTask, error) {
	return oneAgentTask(s.agentTasks(ctx, "AgentTask", id, namespace))
}

// AgentTaskOf shows the newest of a tree. [ErrNotFound].
func (s *Store) AgentTaskOf(ctx context.Context, tree dag.TreeKey) (*AgentTask, error) {
	return oneAgentTask(s.agentTasks(ctx, "AgentTasksOfTree", tree))
}

func oneAgentTask(list []*AgentTask, err error) (*AgentTask, error) {
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// AgentTasks lists those of a namespace, newest first, below a number (0: from the newest); context and user may be empty.
func (s *Store) AgentTasks(ctx context.Context, namespace dag.NamespaceKey, below int64, conversation, userID string, limit int) ([]*AgentTask, error) {
	if below == 0 {
		below = math.MaxInt64
	}
	if conversation != "" {
		return s.agentTasks(ctx, "AgentTasksOfContext", below, orNull(userID), limit, namespace, conversation)
	}
	return s.agentTasks(ctx, in(namespace, "AgentTasksDown"), below, orNull(userID), limit, namespace)
}

func (s *Store) agentTasks(ctx context.Context, statement string, args ...any) ([]*AgentTask, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[AgentTask])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	for _, t := range list {
		if err := s.seals.open(ctx, t.Tree, kindHistory, t.Sealed, &t.History); err != nil {
			return nil, err
		}
		t.Sealed = nil
	}
	return list, nil
}

// CountAgentTasks counts those of a namespace among the newest, or the newest of the context.
func (s *Store) CountAgentTasks(ctx context.Context, namespace dag.NamespaceKey, conversation, userID string, newest int) (n int, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	statement, args := in(namespace, "CountAgentTasks"), []any{orNull(userID), newest, namespace}
	if conversation != "" {
		statement, args = "CountAgentTasksOfContext", append(args, conversation)
	}
	err = s.pool.QueryRow(ctx, sql(statement), args...).Scan(&n)
	return n, err
}

// TreesByKeys are the trees of the keys that are there, in no order.
func (s *Store) TreesByKeys(ctx context.Context, keys []dag.TreeKey) ([]*Tree, error) {
	return s.trees(ctx, "TreesByKeys", keys, nil)
}
