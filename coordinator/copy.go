package coordinator

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// ResetFields are the fields that a copy may leave out of tasks that are kept as they ended (spec 4.1). Without its status a task is not kept, but
// to run again; without completed_at it has completed when it was copied. Progress and updated_at follow from the others.
var ResetFields = []string{"status", "progress", "result", "error", "started_at", "completed_at", "updated_at"}

// maxCopyIDs is how many tasks a copy may be asked for by name.
const maxCopyIDs = 10_000

// Copy copies a task with what belongs to it; see [Editor].
func (c *Coordinator) Copy(ctx context.Context, taskID string, opts CopyOptions) (*Copied, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	what, err := c.toCopy(ctx, taskID, opts)
	if err != nil {
		return nil, err
	}
	if opts.Preview {
		return c.previewCopy(ctx, what, opts.ResetFields)
	}
	if err := c.takesWork(); err != nil {
		return nil, err
	}
	done, err := slot(ctx, c.copying)
	if err != nil {
		return nil, err
	}
	got, err := c.store.Copy(ctx, what)
	done()
	if err != nil {
		return nil, c.copyError(err)
	}
	failpoint.Hit("coordinator.after-copy-commit")
	out := &Copied{TreeID: got.RootID, Replayed: got.Replayed}
	if opts.Execute != nil {
		if out.Execution, err = c.executeCopy(ctx, got, *opts.Execute); err != nil {
			return nil, err
		}
	}
	return out, c.showCopy(ctx, got, out)
}

// copyError passes on what the client did wrong.
func (c *Coordinator) copyError(err error) error {
	if _, ok := errors.AsType[*pg.QuotaError](err); ok {
		return quotaError(err)
	}
	err = c.gone(err)
	if errors.Is(err, pg.ErrDigest) {
		return &InvalidArgumentError{Field: "idempotency_key", Reason: "was used for something else"}
	}
	if _, ok := errors.AsType[*dag.LevelError](err); ok {
		return err
	}
	if invalid, ok := errors.AsType[*dag.InvalidTreeError](err); ok { // the rules of its pools forbid it
		return invalid
	}
	if limit, ok := errors.AsType[*pg.PoolLimitError](err); ok {
		return &InvalidArgumentError{Field: "pool", Reason: limit.Reason}
	}
	return c.internal("copy", err)
}

// executeCopy starts a copy. One that the idempotency key stands for is started only if it never was: its first answer is the answer.
func (c *Coordinator) executeCopy(ctx context.Context, got *pg.Copied, opts ExecuteOptions) (*Execution, error) {
	started := &Execution{TreeID: got.RootID, Outcome: Started}
	if got.Replayed {
		tree, err := c.Tree(ctx, got.RootID)
		if err != nil {
			return nil, err
		}
		if tree.Sequence > 0 {
			return started, nil
		}
	}
	out, err := c.Execute(ctx, got.RootID, opts)
	if err == nil && got.Replayed && out.Outcome == AlreadyRunning { // by who asked at the same time
		return started, nil
	}
	return out, err
}

// Check refuses what can't be asked for, as an [InvalidArgumentError] or a *[dag.InvalidTaskError].
func (o *CopyOptions) Check() error {
	bad := func(field, format string, args ...any) error {
		return &InvalidArgumentError{Field: field, Reason: fmt.Sprintf(format, args...)}
	}
	for _, field := range o.ResetFields {
		if !slices.Contains(ResetFields, field) {
			return bad("reset_fields", "knows %s, not %q", strings.Join(ResetFields, ", "), clean(field))
		}
	}
	switch o.Mode {
	case "", CopyMinimal, CopyFull, CopyCustom:
	default:
		return bad("copy_mode", "must be %s, %s or %s, not %q", CopyMinimal, CopyFull, CopyCustom, clean(string(o.Mode)))
	}
	switch {
	case o.Mode == CopyCustom && len(o.TaskIDs) == 0:
		return copyFault("custom_task_ids is required when copy_mode='custom'")
	case len(o.TaskIDs) > maxCopyIDs:
		return bad("custom_task_ids", "must be at most %d", maxCopyIDs)
	case o.Execute != nil && o.Execute.DryRun:
		return &InvalidArgumentError{Field: "execute", Reason: "a copy is not made for a dry run: use preview"}
	case o.Preview && o.Execute != nil:
		return bad("save", "a preview can't be executed")
	case o.Preview && o.IdempotencyKey != "":
		return bad("idempotency_key", "a preview stores nothing")
	}
	return SubmitOptions{IdempotencyKey: o.IdempotencyKey}.validate()
}

// copyFault is a fault in the words of spec 4.1.
func copyFault(reason string) error {
	return &dag.InvalidTaskError{Index: -1, Field: "custom_task_ids", Reason: reason}
}

// toCopy looks up what is to be copied.
func (c *Coordinator) toCopy(ctx context.Context, taskID string, opts CopyOptions) (what pg.Copying, err error) {
	what = pg.Copying{Mode: map[CopyMode]dag.CopyMode{CopyFull: dag.CopyFull, CopyCustom: dag.CopyCustom}[opts.Mode],
		IdempotencyKey: opts.IdempotencyKey, Digest: opts.digest(taskID),
		Known:        func(id string) bool { return c.executors.has(ctx, id) },
		BeforeCommit: func() { failpoint.Hit("coordinator.before-copy-commit") }, Reset: resetOf(opts.ResetFields)}
	if what.Namespace, err = c.here(ctx); err != nil {
		return what, err
	}
	if what.Target, err = c.keyOf(ctx, taskID); err != nil || opts.Mode != CopyCustom {
		return what, err
	}
	what.Descendants = opts.IncludeChildren
	keys, err := c.store.KeysOf(ctx, what.Namespace, slices.DeleteFunc(slices.Clone(opts.TaskIDs), func(id string) bool { return !text(id) }))
	if err != nil {
		return what, c.internal("look up tasks", err)
	}
	var missing []string
	for _, id := range slices.Compact(slices.Sorted(slices.Values(opts.TaskIDs))) {
		if k, ok := keys[id]; ok && k.Tree() == what.Target.Tree() {
			what.Named = append(what.Named, k)
		} else {
			missing = append(missing, id)
		}
	}
	return what, NotInTree(missing)
}

// NotInTree is the fault of ids that are none of the copied tree (spec 4.1); nil: there are none.
func NotInTree(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return copyFault("Task IDs not found in tree: {" + quoted(ids) + "}")
}

func resetOf(fields []string) (r pg.Reset) {
	for _, f := range []struct {
		name  string
		reset *bool
	}{{"status", &r.Status}, {"result", &r.Result}, {"error", &r.Error}, {"started_at", &r.StartedAt}, {"completed_at", &r.CompletedAt}} {
		*f.reset = slices.Contains(fields, f.name)
	}
	return r
}

// maxQuoted is how many ids a fault names.
const maxQuoted = 20

// quoted are ids as spec 4.1 has them, the first of them.
func quoted(ids []string) string {
	var b strings.Builder
	for i, id := range ids {
		if i == maxQuoted {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if utf8.RuneCountInString(id) > 255 {
			id = string([]rune(id)[:255]) + "…"
		}
		b.WriteString("'" + clean(id) + "'")
	}
	return b.String()
}

// digest is that of all that is asked for.
func (o *CopyOptions) digest(taskID string) []byte {
	b := []byte("copy")
	add := func(s string) {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	mode := o.Mode
	if mode == "" {
		mode = CopyMinimal
	}
	add(taskID)
	add(string(mode))
	add(fmt.Sprint(o.IncludeChildren))
	for _, list := range [][]string{o.TaskIDs, o.ResetFields} {
		list = slices.Compact(slices.Sorted(slices.Values(list)))
		add(fmt.Sprint(len(list)))
		for _, s := range list {
			add(s)
		}
	}
	sum := sha256.Sum256(b)
	return sum[:]
}
