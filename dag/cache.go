package dag

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Cache settles a task from an earlier success of the same executor with the same inputs, of the same user in the same namespace (control 12).
type Cache struct {
	Key     string        `json:"key,omitempty"`     // a template that stands for the inputs; empty: they count as they are rendered
	Version string        `json:"version,omitempty"` // of what the executor does: successes of others do not count
	For     time.Duration `json:"for"`               // how old a success may be
}

// Bounds of [Cache].
const (
	MaxCacheKeyBytes     = 4 << 10 // as it is submitted
	MaxCacheVersionChars = 255
	MaxCacheFor          = 366 * 24 * time.Hour
	// MaxCacheEntries is how many successes of one user of a namespace are found; the oldest are forgotten first.
	MaxCacheEntries = 100_000
)

// CachedFrom says whose success settled a task.
type CachedFrom struct {
	TaskID string `json:"task_id"`
	TreeID string `json:"tree_id"`
}

// Cached is an earlier success.
type Cached struct {
	From            CachedFrom
	Task            Key
	Attempt         int32
	Result, Outputs []byte
}

// sleepExecutor waits for a time, which it has to do each time.
const sleepExecutor = "sleep_executor"

// faults are what is wrong with the cache of a task, each with its field.
func (c *Cache) faults(t *Task) (faults []valueFault) {
	fault := func(field, format string, args ...any) {
		faults = append(faults, valueFault{"cache" + field, fmt.Sprintf(format, args...)})
	}
	switch {
	case c.For == 0:
		fault(".for", "is required: how old a success may be")
	case c.For < MinLimit || c.For > MaxCacheFor:
		fault(".for", "must be %g to %.0f seconds", MinLimit.Seconds(), MaxCacheFor.Seconds())
	}
	if n := utf8.RuneCountInString(c.Version); n > MaxCacheVersionChars {
		fault(".version", "must be at most %d characters, got %d", MaxCacheVersionChars, n)
	}
	for _, of := range [][2]string{{".version", c.Version}, {".key", c.Key}} {
		if !Storable(of[1]) {
			fault(of[0], "must be valid UTF-8 without NUL")
		}
	}
	if len(c.Key) > MaxCacheKeyBytes {
		fault(".key", "must be at most %d bytes, got %d", MaxCacheKeyBytes, len(c.Key))
	}
	co := t.Control
	for _, not := range []struct {
		is     bool
		reason string
	}{
		{t.Executor == "", "a group, which runs nothing, can't have it"},
		{waits(t.Executor) || t.Executor == sleepExecutor || unrendered[t.Executor] != nil, "a task of " + t.Executor + " waits, or finds tasks, which no earlier one can do for it"},
		{co.Repeat != nil, "not together with repeat: a task that repeats looks at what changes"},
		{len(co.Artifacts) > 0, "not together with artifacts: files are of the task that made them"},
		{!t.NotBefore.IsZero(), "not together with not_before: the task would end before that"},
	} {
		if not.is {
			fault("", "%s", not.reason)
		}
	}
	for _, of := range c.unsteady(t) {
		fault(of.field, "%s", of.text)
	}
	return faults
}

// unsteady are templates by which the same task is another one each time, or is not told apart by what counts.
func (c *Cache) unsteady(t *Task) (faults []valueFault) {
	names := func(document map[string]any, root string, more ...string) bool {
		return slices.ContainsFunc(outputRules.Refs(document), func(path []string) bool {
			return path[0] == root && (len(more) == 0 || len(path) > 1 && slices.Contains(more, path[1]))
		})
	}
	of := map[string]any{"key": c.Key}
	field := ".key"
	if c.Key == "" {
		field, of = "", nil
		if t.Control.Template {
			of = decoded(t.Inputs)
		}
	}
	if names(of, "task", "attempt") {
		faults = append(faults, valueFault{field, "task.attempt is another one in each attempt, and can't tell equal tasks"})
	}
	outputs := decoded(t.Control.Outputs)
	for _, root := range []string{"deps", "inputs", "task", "tree", "item", "index", "schedule", "parameters"} {
		if names(outputs, root) {
			faults = append(faults, valueFault{"", "outputs of the task may name its result alone, not " + root + ": they are taken as they were made"})
			break
		}
	}
	return faults
}

// cacheKey checks the templates of the key, and keeps the dependencies that they name.
func (r *templateReader) cacheKey(c *Cache) {
	if c.Key == "" || len(c.Key) > MaxCacheKeyBytes {
		return
	}
	r.check("cache", r.inputRules, map[string]any{"key": c.Key})
}

// errUnfit: the task can't end by an earlier success any more.
var errUnfit = errors.New("the task was changed, and may not be cached any more")

// CacheText is what tells equal tasks, for a digest: the executor, the version, what its outputs are made by, and the rendered inputs with all else that has a say in what a run
// gives, or the key. sent is what was loaded for its templates, and merged are its inputs before they are rendered. An error: nothing tells the task, and it runs.
func CacheText(r *Rendering, executor string, c *Control, submitted, merged, params, schemas json.RawMessage, sent []byte, most int) ([]byte, error) {
	if len(c.Cache.faults(&Task{Executor: executor, Inputs: submitted, Control: c})) > 0 { // somebody has changed the task since it was submitted
		return nil, errUnfit
	}
	inputs, data := merged, []string(nil)
	if c.Template {
		var err error
		if inputs, data, err = r.Inputs(merged, Templated(executor, submitted, merged), sent, most); err != nil {
			return nil, err
		}
	}
	b := []byte("taskgrove cache 1")
	add := func(text []byte) { b = append(binary.AppendUvarint(b, uint64(len(text))), text...) }
	canonical := func(raw json.RawMessage) {
		if isNull(raw) {
			raw = json.RawMessage("{}")
		}
		add(AppendCanonical(nil, raw))
	}
	add([]byte(executor))
	add([]byte(c.Cache.Version))
	canonical(c.Outputs)
	if c.Cache.Key == "" {
		add([]byte("inputs"))
		canonical(inputs)
		canonical(params)
		canonical(schemas)
		references := slices.DeleteFunc(References(executor, c, submitted, merged), func(name string) bool { return slices.Contains(data, name) })
		slices.Sort(references)
		for _, name := range references { // the same text may be data in another task
			add([]byte(name))
		}
		return b, nil
	}
	scope, err := r.Scope(inputs, sent)
	if err != nil {
		return nil, err
	}
	value, err := inputRules.Render(c.Cache.Key, scope, most)
	if err != nil {
		return nil, err
	}
	key, err := encodeExact(value)
	if err != nil {
		return nil, err
	}
	add([]byte("key"))
	canonical(key)
	return b, nil
}

// reuse ends a task by an earlier success, without a run.
func (d *Decision) reuse(r *Row, c *Cached) {
	d.unstarted(r, Ended{Outcome: OutcomeCompleted, Result: c.Result, Outputs: c.Outputs}, Completed)
}
