package coordinator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/record"
)

// Details are what the record keeps of a call beside what the call names: options that matter, ids that were made, how many. They never hold
// inputs, results, tokens, or the value of anything secret.
type Details map[string]string

// Bounds of [Details].
const (
	MaxDetails     = 24
	maxDetailRunes = 255 // of one value
)

// detail gives details of pairs of a name and a value: a text, a number, a bool, a duration, or a list of texts. Zero values are left out.
func detail(pairs ...any) (out Details) {
	for i := 0; i+1 < len(pairs); i += 2 {
		out = out.with(pairs[i].(string), pairs[i+1])
	}
	return out
}

// with adds a value, unless it is zero.
func (d Details) with(name string, value any) Details {
	text := ""
	switch v := value.(type) {
	case bool:
		if v {
			text = "true"
		}
	case *bool:
		if v != nil {
			text = strconv.FormatBool(*v)
		}
	case int:
		if v != 0 {
			text = strconv.Itoa(v)
		}
	case time.Duration:
		if v != 0 {
			text = v.String()
		}
	case []string:
		text = strings.Join(v, ", ")
	case string:
		text = v
	default:
		text = fmt.Sprint(v)
	}
	if text == "" || len(d) >= MaxDetails {
		return d
	}
	if d == nil {
		d = Details{}
	}
	d[name] = recordable(text, maxDetailRunes)
	return d
}

// recordable is a text as the record keeps it: valid UTF-8 without control characters, cut at a bound.
func recordable(s string, runes int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	return string([]rune(s)[:runes-1]) + "…"
}

// detailed is an answer that says what the record keeps of it.
type detailed interface{ made() Details }

// madeBy is what the record keeps of an answer.
func madeBy(answer any, err error) Details {
	if d, ok := answer.(detailed); ok && err == nil {
		return d.made()
	}
	return nil
}

func (s *Submitted) made() Details {
	var more []string
	for _, one := range s.More {
		more = append(more, one.TreeID)
	}
	return detail("tree", s.TreeID, "tasks", s.Tasks, "replayed", s.Replayed, "more", more)
}

func (g *Generated) made() Details {
	return detail("task", g.TaskID, "tasks", g.Count, "tree", g.RootTaskID)
}

func (e *Execution) made() Details {
	return detail("tree", e.TreeID, "tasks", e.Tasks, "found", executeOutcomes[e.Outcome], "cancelled", e.Cancelled)
}

// executeOutcomes are the words of the record for what else an execution came to.
var executeOutcomes = map[ExecuteOutcome]string{AlreadyRunning: "already running", NothingToDo: "nothing to do", WasCancelled: "cancelled"}

func (c *Cancellation) made() Details {
	if c.Outcome == AlreadyEnded {
		return detail("found", "already ended")
	}
	return nil
}

func (d *Deletion) made() Details { return detail("tasks", d.Tasks) }

func (c *Copied) made() Details {
	d := detail("tree", c.TreeID, "replayed", c.Replayed)
	if c.Execution != nil {
		d = d.with("started", c.Execution.Tasks)
	}
	return d
}

func (k *APIKey) made() Details {
	return detail("key", k.ID, "user", k.UserID, "roles", k.Roles, "expires", record.At(k.ExpiresAt).String())
}

func (w *WebhookInfo) made() Details {
	return detail("webhook", w.ID, "tree", w.TreeID)
}

func (d *Delivery) made() Details {
	return detail("webhook", d.WebhookID, "tree", d.TreeID, "delivery", string(d.Outcome))
}

func (o SubmitOptions) asked() Details {
	d := detail("hold", o.Hold, "demo", o.Demo, "timeout", o.Timeout, "model_key", o.ModelKey.Given(), "require_existing", o.RequireExisting, "retention", dag.RetentionText(o.Retention), "due", o.Due.String())
	return d.with("webhook", o.Webhook != nil).with("attach", len(o.Attach)).with("more", len(o.More)).with("no_cache", o.NoCache)
}

func (o ExecuteOptions) asked() Details {
	d := detail("force", o.Force, "rerun_cancelled", o.RerunCancelled, "rerun_dependencies", o.RerunDependencies, "keep_completed", o.KeepCompleted, "demo", o.Demo, "model_key", o.ModelKey.Given())
	return d.with("webhook", o.Webhook != nil).with("attach", len(o.Attach)).with("no_cache", o.NoCache).with("dry_run", o.DryRun)
}

func (o CopyOptions) asked() Details {
	d := detail("mode", string(o.Mode), "children", o.Children, "named", len(o.TaskIDs), "reset", o.ResetFields, "preview", o.Preview)
	return d.with("execute", o.Execute != nil)
}

// changedFields are the fields that an update names; what they are changed to is the task's own.
func changedFields(c TaskChange) (names []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"name", c.Name != nil}, {"priority", c.Priority != nil}, {"dependencies", c.HasDependencies}, {"inputs", c.Inputs != nil}, {"params", c.Params != nil},
		{"schemas", c.Schemas != nil}, {"status", c.Status != ""}, {"error", c.Error != nil}, {"result", c.Result != nil}, {"progress", c.Progress != nil},
		{"started_at", !c.StartedAt.IsZero()}, {"completed_at", !c.CompletedAt.IsZero()}, {"labels", c.HasLabels},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}
