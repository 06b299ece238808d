package applyfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// Limit is a limit of an operator.
type Limit struct {
	Key, Rate, Pool, UserID string // one of them
	Max, Running, Waiting   *int32
	Per                     string
	Burst                   int32
	Reason                  string
}

// Source is where the process that reads the files finds a value that they don't have: a variable of its environment, or a file.
type Source struct{ Env, File string }

// String is the source as people read it.
func (s Source) String() string {
	if s.Env != "" {
		return "variable " + s.Env
	}
	return "file " + s.File
}

// Header is what is sent along: a value, or where it is.
type Header struct {
	Value string
	From  *Source
}

// Webhook is a webhook of the cluster.
type Webhook struct {
	Name        string
	URL         string
	URLFrom     *Source
	Method      string // POST or PUT
	Events      []string
	UserID      string
	Tree        string
	Labels      map[string]string
	Timeout     time.Duration
	MaxAttempts int
	Headers     map[string]Header
	SecretFrom  *Source
	Body        json.RawMessage // nil: the event as the task-tree protocol has it
	Enabled     *bool           // nil: as it is
}

// What webhooks are that say nothing of it.
const (
	DefaultTimeout  = 30 * time.Second
	DefaultAttempts = 10
)

const (
	maxName       = 255
	maxWaiting    = 1_000_000_000
	maxTimeout    = time.Minute
	maxAttempts   = 100
	maxEventNames = 100
)

// Events are what webhooks can be told, in the order in which a cluster shows them.
var Events = []string{"tree_created", "tree_started", "tree_completed", "tree_failed", "tree_cancelled", "tree_late", "run_failed_to_start", "task_start", "task_completed", "task_failed", "task_cancelled", "task_retry"}

func notAWord(text string, words []string) string {
	if near := dag.Nearest(text, words); near != "" {
		return fmt.Sprintf("%.60q is not known: write %s", text, near)
	}
	return fmt.Sprintf("%.60q is none of %s", text, strings.Join(words, ", "))
}

func readLimit(o *object) (any, string) {
	l := &Limit{Key: o.text("key"), Rate: o.text("rate"), Pool: o.text("pool"), UserID: o.text("user_id"),
		Max: o.number("max", 0, dag.MaxLimitMax), Running: o.number("running", 0, dag.MaxLimitMax), Waiting: o.number("waiting", 0, maxWaiting),
		Per: o.text("per"), Reason: o.text("reason")}
	if burst := o.number("burst", 0, dag.MaxLimitMax); burst != nil {
		l.Burst = *burst
	}
	name := o.target(l)
	only := func(of string, is bool, given ...string) {
		for _, key := range given {
			if o.says(key) && !is {
				o.fault(key, "goes with %s only", of)
			}
		}
	}
	user, rate := l.UserID != "", l.Rate != ""
	only("a user_id", user, "running", "waiting")
	only("a rate", rate, "per", "burst")
	only("a key, a rate or a pool", !user, "max")
	switch {
	case name == "":
	case user && !o.says("running") && !o.says("waiting"):
		o.fault("", "must say running, waiting or both")
	case !user && !o.says("max"):
		o.fault("", "must say max")
	}
	words := slices.Sorted(maps.Keys(dag.RatePeriods))
	if rate && l.Per == "" {
		o.fault("", "must say per: %s", strings.Join(words, ", "))
	}
	o.oneOf("per", l.Per, words)
	if fault := dag.ReasonFault(l.Reason); fault != "" {
		o.fault("reason", "%s", fault)
	}
	return l, name
}

// target is the name of what the limit is for; empty: that can't be said.
func (o *object) target(l *Limit) (name string) {
	given := 0
	for _, one := range [][2]string{{"key", l.Key}, {"rate", l.Rate}, {"pool", l.Pool}, {"user_id", l.UserID}} {
		key, value := one[0], one[1]
		if !o.says(key) {
			continue
		}
		given++
		name = strings.TrimSuffix(key, "_id") + " " + value
		fault := dag.LimitKeyFault(value)
		if key == "pool" && !dag.ValidPool(value) {
			fault = fmt.Sprintf("must be 1 to %d letters, digits, - and _", dag.MaxPoolBytes)
		}
		if fault != "" {
			o.fault(key, "%s", fault)
			name = ""
		}
	}
	if given != 1 {
		o.fault("", "must have one of key, rate, pool and user_id")
		return ""
	}
	return name
}

// readSchedule reads a schedule, whose keys package scheduledoc knows.
func readSchedule(o *object) (any, string) {
	now := time.Now()
	spec, faults := scheduledoc.Read(o.whole, now, now)
	for _, f := range faults {
		o.fault(f.Field, "%s", f.Reason)
	}
	o.known = slices.Collect(maps.Keys(o.values)) // it has told those that it does not know
	return spec, spec.ID
}

func readWebhook(o *object) (any, string) {
	w := &Webhook{Name: o.text("name"), URL: o.text("url"), URLFrom: o.source("url_from"), Method: strings.ToUpper(o.text("method")), Events: o.texts("events"), UserID: o.text("user_id"),
		Tree: o.text("tree"), Timeout: o.duration("timeout", maxTimeout), MaxAttempts: DefaultAttempts, SecretFrom: o.source("secret_from"), Enabled: o.flag("enabled")}
	if w.Timeout == 0 {
		w.Timeout = DefaultTimeout
	}
	if n := o.number("max_retries", 1, maxAttempts); n != nil {
		w.MaxAttempts = int(*n)
	}
	o.oneOf("method", w.Method, []string{"POST", "PUT"})
	if w.Method == "" {
		w.Method = "POST"
	}
	for key, value := range map[string]string{"user_id": w.UserID, "tree": w.Tree} {
		if len(value) > maxName || strings.ContainsRune(value, 0) {
			o.fault(key, "must be at most %d bytes without NUL", maxName)
		}
	}
	if w.Name == "" {
		o.fault("name", "must be there: the webhook is known by it")
	} else if fault := dag.WebhookNameFault(w.Name); fault != "" {
		o.fault("name", "%s", fault)
	}
	if _, there := o.raw("secret"); there {
		o.fault("secret", "does not stand in a file: secret_from says where it is, {env: NAME} or {file: PATH}")
	}
	o.address(w)
	o.events(w)
	if raw, there := o.raw("labels"); there {
		if json.Unmarshal(raw, &w.Labels) != nil {
			o.fault("labels", "must be an object of strings")
		}
		for _, fault := range dag.CheckLabels(w.Labels) {
			o.fault("labels", "%s", fault)
		}
	}
	w.Headers = o.headers()
	if raw, there := o.raw("body"); there {
		w.Body = raw
		o.body(raw)
	}
	return w, w.Name
}

// address checks where a webhook sends to.
func (o *object) address(w *Webhook) {
	plain, from := o.says("url"), o.says("url_from")
	if plain == from {
		o.fault("", "must have one of url and url_from")
		return
	}
	if from {
		return
	}
	if fault := dag.WebhookURLFault(w.URL); fault != "" {
		o.fault("url", "%s", fault)
	}
}

// events puts the events of a webhook into their order.
func (o *object) events(w *Webhook) {
	if len(w.Events) == 0 && (!o.says("events") || string(o.values["events"]) == "[]") {
		o.fault("", "must say events: at least one of %s", strings.Join(Events, ", "))
	}
	if len(w.Events) > maxEventNames {
		o.fault("events", "must be at most %d", maxEventNames)
		return
	}
	for i, e := range w.Events {
		if !slices.Contains(Events, e) {
			o.fault(fmt.Sprintf("events[%d]", i), "%s", notAWord(e, Events))
		}
	}
	w.Events = slices.DeleteFunc(slices.Clone(Events), func(e string) bool { return !slices.Contains(w.Events, e) })
}

// source is where a value is; nil: nothing says so.
func (o *object) source(key string) *Source {
	raw, there := o.raw(key)
	if !there {
		return nil
	}
	return o.sourceIn(key, raw)
}

func (o *object) sourceIn(key string, raw json.RawMessage) *Source {
	var fields map[string]json.RawMessage
	var name string
	if json.Unmarshal(raw, &fields) != nil || len(fields) != 1 {
		o.fault(key, "must be {env: NAME} or {file: PATH}")
		return nil
	}
	for field, value := range fields {
		switch {
		case field != "env" && field != "file":
			o.fault(join(key, field), "%s", unknown(field, "a source", []string{"env", "file"}))
		case json.Unmarshal(value, &name) != nil || name == "":
			o.fault(join(key, field), "must be a string that is not empty")
		case field == "env":
			return &Source{Env: name}
		default:
			return &Source{File: name}
		}
	}
	return nil
}

// body checks the template of what is sent.
func (o *object) body(raw json.RawMessage) {
	if len(raw) > dag.MaxWebhookBodyBytes {
		o.fault("body", "must be at most %d bytes of JSON", dag.MaxWebhookBodyBytes)
		return
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var document any
	if err := d.Decode(&document); err != nil {
		o.fault("body", "must be JSON")
		return
	}
	for _, fault := range dag.WebhookBody.Check(document, nil) {
		o.fault("body", "%v", fault)
	}
}

// headers are what is sent along.
func (o *object) headers() map[string]Header {
	raw, there := o.raw("headers")
	if !there {
		return nil
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		o.fault("headers", "must be an object: a string, {env: NAME} or {file: PATH} for each name")
		return nil
	}
	if len(all) > dag.MaxWebhookHeaders {
		o.fault("headers", "must be at most %d", dag.MaxWebhookHeaders)
		return nil
	}
	out := map[string]Header{}
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var h Header
		if !dag.ValidHeaderName(name) {
			o.fault("headers", "%.60q is no name of a header", name)
			continue
		}
		if json.Unmarshal(all[name], &h.Value) != nil {
			h.From = o.sourceIn("headers."+name, all[name])
		}
		bytes += len(name) + len(h.Value)
		if fault := dag.WebhookHeaderFault(name, h.Value); fault != "" {
			o.fault("headers."+name, "%s", fault)
		} else if h.From == nil && secretHeader(name, h.Value) {
			o.fault("headers."+name, "looks secret, and does not stand in a file: write {env: NAME} or {file: PATH}")
		}
		out[name] = h
	}
	if bytes > dag.MaxWebhookHeaderBytes {
		o.fault("headers", "must have at most %d bytes in all", dag.MaxWebhookHeaderBytes)
	}
	return out
}

// secretHeader reports whether a header looks as if it held a secret.
func secretHeader(name, value string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"auth", "token", "secret", "key", "passw", "pwd", "cookie", "credential", "signature", "sig", "session", "jwt"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	scheme, _, more := strings.Cut(strings.ToLower(value), " ")
	return more && slices.Contains([]string{"bearer", "basic", "digest", "token"}, scheme)
}
