package treedoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// fieldError is a field whose value has the wrong type, or that is there twice.
type fieldError struct {
	field, reason string
}

func (e *fieldError) Error() string { return e.field + ": " + e.reason }

func wrong(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

// decoder makes tasks of their text. It is reused from task to task, and of the last one keeps what the next is likely to have, too.
type decoder struct {
	limits    dag.Limits
	executors dag.Known
	alone     bool // the task is the whole document

	// What tasks of one tree often have alike, of the last one.
	name, parent, owner, pool string
	chosen                    choice

	made []dag.Task // and not yet used
	many int        // were made together

	scan     scanner
	each     func(quoted []byte, v part) error // member, bound once
	task     *dag.Task
	wrongs   []*fieldError // at most dag.MaxProblems
	imported *dag.Imported // what it says of how it has ended; nil: nothing
	result   part          // likewise
	ended    string        // likewise, an error
	beside   bool          // it has a key tasks, and is alone
	seen     uint64        // bits by key
	payloads [3]part       // inputs, params, schemas
	custom   []pair
	unknown  [][]byte        // unknown keys, decoded, while they are few
	names    map[string]bool // the same, once they are many
}

type pair struct {
	key   []byte
	value part
}

// decode reads one task. Fields that are wrong stand in d.wrongs, and are zero in the task. On an error, which is one of syntax, the task
// holds what was read before, to tell which one it is.
func (d *decoder) decode(text []byte) (*dag.Task, error) {
	t := d.next()
	d.task, d.seen, d.payloads, d.custom, d.unknown, d.names = t, 0, [3]part{}, d.custom[:0], d.unknown[:0], nil
	d.wrongs, d.beside = d.wrongs[:0], false
	d.imported, d.result, d.ended = nil, part{}, ""
	if d.each == nil {
		d.each = d.member
	}
	d.scan.compare(text)
	if err := d.scan.object(d.each); err != nil {
		return t, err
	}
	d.copyPayloads()
	d.takeImported()
	t.Executor = d.chosen.executor(t, d.executors)
	return t, nil
}

// next makes a task. They are made several at a time, since each is as large as its text often is.
func (d *decoder) next() *dag.Task {
	const most = 32
	if len(d.made) == 0 {
		d.made = make([]dag.Task, min(max(1, 2*d.many), most))
		d.many = len(d.made)
	}
	t := &d.made[0]
	d.made = d.made[1:]
	t.Priority = dag.Normal
	return t
}

// choice is the executor that params and schemas choose, whatever the name of their task.
type choice struct {
	params, schemas json.RawMessage
	id              string // empty: none
}

// executor is the task's. Params and schemas like those of the last task are not looked at again.
func (c *choice) executor(t *dag.Task, known dag.Known) string {
	if !bytes.Equal(c.params, t.Params) || !bytes.Equal(c.schemas, t.Schemas) {
		*c = choice{t.Params, t.Schemas, dag.ChooseExecutor("", t.Params, t.Schemas, known)}
	}
	if c.id != "" {
		return c.id
	}
	return dag.ChooseExecutor(t.Name, nil, nil, known)
}

// member takes one key and its value.
func (d *decoder) member(quoted []byte, v part) error {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(unescape(quoted))
	}
	k := keys[string(name)]
	if k == keyUnknown {
		return d.note(d.keep(name, quoted, v))
	}
	if d.seen&(1<<k) != 0 {
		return d.note(wrong(string(name), "must not be there twice"))
	}
	d.seen |= 1 << k
	switch {
	case isNull(v):
		return nil
	case k == keyResult:
		d.result = v
		return nil
	case k == keyError:
		if v.raw[0] == '"' {
			d.ended = unescape(v.raw)
		}
		return nil
	case k >= keyStored:
		return nil
	}
	return d.note(d.known(k, v))
}

// note keeps what is wrong with a field, so that reading goes on. What is no JSON is returned.
func (d *decoder) note(err error) error {
	bad, ok := err.(*fieldError)
	if !ok {
		return err
	}
	if len(d.wrongs) < dag.MaxProblems {
		d.wrongs = append(d.wrongs, bad)
	}
	return nil
}

func isNull(v part) bool { return v.raw[0] == 'n' }

func (d *decoder) known(k key, v part) (err error) {
	t := d.task
	switch k {
	case keyName:
		t.Name, err = textLike(&d.name, "name", v)
	case keyID:
		t.ID, err = text("id", v)
	case keyUser:
		t.UserID, err = textLike(&d.owner, "user_id", v)
	case keyParent:
		t.ParentRef, err = textLike(&d.parent, "parent_id", v)
	case keyPriority:
		var n int
		n, err = integer("priority", v)
		t.Priority = dag.Priority(max(math.MinInt16, min(math.MaxInt16, n))) // still out of range, for Builder to say so
	case keyDependencies:
		return d.dependencies(v)
	case keyInputs:
		return d.payload("inputs", 0, v)
	case keySchemas:
		return d.payload("schemas", 2, v)
	case keyParams:
		return d.payload("params", 1, v)
	case keyPool:
		t.Pool, err = textLike(&d.pool, "pool", v)
	case keyRetry:
		return d.retry(v)
	case keyTimeout:
		t.Timeout, err = seconds("timeout", v)
	case keyScheduleToStart:
		t.ScheduleToStart, err = seconds("schedule_to_start", v)
	case keyTreeTimeout:
		t.TreeTimeout, err = seconds("tree_timeout", v)
	case keyRetention:
		t.Retention, err = retention("retention", v)
	case keyDue:
		t.Due, err = due("due", v)
	case keyNotBefore:
		t.NotBefore, err = instant("not_before", v)
	case keyOnLost:
		t.OnLost, err = onLost("on_lost", v)
	case keyRepeatable:
		t.Repeatable, err = boolean("repeatable", v)
	case keyLabels:
		return d.labels(v)
	default:
		return d.beyond(k, v)
	}
	return err
}

// keep takes a key that has no meaning here.
func (d *decoder) keep(name, quoted []byte, v part) error {
	if d.alone && string(name) == "tasks" {
		d.beside = true
	}
	if d.repeats(name) {
		return wrong(string(name), "must not be there twice")
	}
	if !isNull(v) {
		d.custom = append(d.custom, pair{quoted, v})
	}
	return d.repeated(string(name), v)
}

// repeated refuses names that an object within a value has twice. What is too large is refused as such later.
func (d *decoder) repeated(field string, v part) error {
	if !v.unsure || len(v.raw) > d.limits.PayloadBytes {
		return nil
	}
	if bad, ok := errors.AsType[*rawjson.RepeatedError](rawjson.CheckNames(v.raw)); ok {
		return wrong(field+bad.Path, "must not be there twice")
	}
	return nil
}

// repeats reports whether an unknown key was there before, and notes that it is there.
func (d *decoder) repeats(name []byte) bool {
	const few = 16
	if d.names == nil {
		for _, n := range d.unknown {
			if bytes.Equal(n, name) {
				return true
			}
		}
		if d.unknown = append(d.unknown, name); len(d.unknown) <= few {
			return false
		}
		d.names = map[string]bool{}
		for _, n := range d.unknown {
			d.names[string(n)] = true
		}
		return false
	}
	if d.names[string(name)] {
		return true
	}
	d.names[string(name)] = true
	return false
}

func (d *decoder) payload(field string, place int, v part) error {
	if v.raw[0] != '{' {
		return wrong(field, "must be an object")
	}
	d.payloads[place] = v
	return d.repeated(field, v)
}

// copyPayloads gives the task its objects, all in one piece of memory.
func (d *decoder) copyPayloads() {
	size := 0
	for _, p := range d.payloads {
		size += len(p.raw)
	}
	for _, c := range d.custom {
		size += len(c.key) + len(c.value.raw) + 2
	}
	if size == 0 {
		return
	}
	block := make([]byte, 0, size+2)
	take := func(from int) json.RawMessage { return json.RawMessage(block[from:len(block):len(block)]) }
	for i, to := range [...]*json.RawMessage{&d.task.Inputs, &d.task.Params, &d.task.Schemas} {
		if p := d.payloads[i]; p.raw != nil {
			from := len(block)
			block = appendCompact(block, p)
			*to = take(from)
		}
	}
	if len(d.custom) == 0 {
		return
	}
	from := len(block)
	for i, c := range d.custom {
		if i == 0 {
			block = append(block, '{')
		} else {
			block = append(block, ',')
		}
		block = append(append(block, c.key...), ':')
		block = appendCompact(block, c.value)
	}
	block = append(block, '}')
	d.task.Custom = take(from)
}

// dependencies reads all forms of spec 1.4.
func (d *decoder) dependencies(v part) error {
	if v.raw[0] != '[' {
		return wrong("dependencies", "must be an array")
	}
	s := scanner{text: v.raw}
	return s.array(func(item part) error {
		k := len(d.task.Dependencies)
		if k >= d.limits.Dependencies {
			return wrong("dependencies", "must be at most %d", d.limits.Dependencies)
		}
		known, dep, err := len(d.wrongs), dag.Dependency{}, error(nil)
		if dep, err = d.dependency(item); err != nil {
			err = d.note(err)
		}
		for _, bad := range d.wrongs[known:] {
			bad.field = fmt.Sprintf("dependencies[%d]%s", k, bad.field)
		}
		d.task.Dependencies = append(d.task.Dependencies, dep)
		return err
	})
}

// EdgeMode reads what a dependency, an object that has been read before, says beyond the protocol. The fields of the faults begin with a dot.
func EdgeMode(object []byte) (m dag.EdgeMode, faults []*dag.InvalidTaskError) {
	d := &decoder{task: &dag.Task{}}
	dep, err := d.dependency(part{raw: object})
	if d.note(err) != nil {
		return 0, nil
	}
	for _, bad := range d.wrongs {
		faults = append(faults, &dag.InvalidTaskError{Field: bad.field, Reason: bad.reason})
	}
	return dep.Mode, faults
}

// dependency reads one. The fields of its faults are within it: ".id".
func (d *decoder) dependency(v part) (dep dag.Dependency, err error) {
	switch v.raw[0] {
	case '"':
		dep.Legacy = true
		dep.Ref, err = text("", v)
		return dep, err
	case '{':
	default:
		return dep, wrong("", "must be a string or an object")
	}
	var name, otherwise string
	var accept []string
	merge, skips := true, false
	seen := once{prefix: "."}
	s := scanner{text: v.raw}
	err = s.object(func(key []byte, v part) (err error) {
		known, err := seen.key(key, "id", "name", "type", "required", "accept", "otherwise", "merge", "skips")
		switch {
		case err != nil || isNull(v) && known != "":
		case known == "id":
			dep.Ref, err = text(".id", v)
		case known == "name":
			name, err = text(".name", v)
		case known == "type":
			dep.Type, err = text(".type", v)
		case known == "required":
			var required bool
			required, err = boolean(".required", v)
			dep.Optional = !required
		case known == "accept":
			accept, err = d.accept(v)
		case known == "otherwise":
			if otherwise, err = text(".otherwise", v); err == nil && otherwise != "" && otherwise != "block" && otherwise != "skip" {
				otherwise, err = "", wrong(".otherwise", "must be block or skip")
			}
		case known == "merge":
			merge, err = boolean(".merge", v)
		case known == "skips":
			skips, err = boolean(".skips", v)
		default:
			name := unescape(key)
			err = wrong("."+Short(name), "%s", dependencySet.unknown(name))
		}
		return d.note(err)
	})
	if dep.Ref == "" && name != "" {
		dep.Ref, dep.ByName = name, true
	}
	dep.Mode, _ = dag.EdgeOf(accept, otherwise, !merge, skips) // the words are known
	return dep, err
}

// once sees to it that no known key of an object is there twice.
type once struct {
	prefix string // of the fields in errors
	seen   uint
}

// key is which of the known ones the key is, or empty.
func (o *once) key(quoted []byte, known ...string) (string, error) {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(unescape(quoted))
	}
	for i, k := range known {
		if string(name) != k {
			continue
		}
		if o.seen&(1<<i) != 0 {
			return "", wrong(o.prefix+k, "must not be there twice")
		}
		o.seen |= 1 << i
		return k, nil
	}
	return "", nil
}

// labels reads an object of texts; what they may be, [dag.Builder] checks.
func (d *decoder) labels(v part) error {
	if v.raw[0] != '{' {
		return wrong("labels", "must be an object")
	}
	labels := map[string]string{}
	s := scanner{text: v.raw}
	err := s.object(func(key []byte, v part) (err error) {
		name, value := unescape(key), ""
		if value, err = text("labels."+Short(name), v); err != nil {
			return d.note(err)
		}
		if _, twice := labels[name]; twice {
			return d.note(wrong("labels."+Short(name), "must not be there twice"))
		}
		if len(labels) > dag.MaxLabels {
			return nil
		}
		labels[name] = value
		return nil
	})
	if len(labels) > 0 {
		d.task.Labels = labels
	}
	return err
}

// retry reads a policy (spec 12.5). Unlike elsewhere a key that it does not know is a fault.
func (d *decoder) retry(v part) error {
	if v.raw[0] != '{' {
		return wrong("retry", "must be an object")
	}
	p := &d.task.Retry
	seen := once{prefix: "retry."}
	s := scanner{text: v.raw}
	return s.object(func(key []byte, v part) (err error) {
		field, err := seen.key(key, "max_attempts", "backoff", "initial_delay", "max_delay", "multiplier", "jitter", "retry_on", "no_retry_on")
		switch {
		case err != nil || isNull(v) && field != "":
		case field == "max_attempts":
			p.MaxAttempts, err = integer("retry.max_attempts", v)
		case field == "backoff":
			var b string
			b, err = text("retry.backoff", v)
			p.Backoff = dag.Backoff(b)
		case field == "initial_delay":
			p.InitialDelay, err = seconds("retry.initial_delay", v)
			p.NoDelay = err == nil && p.InitialDelay == 0
		case field == "max_delay":
			p.MaxDelay, err = seconds("retry.max_delay", v)
		case field == "multiplier":
			x, ok := number(v)
			if p.Multiplier = x; !ok || !(x >= 1 && x <= dag.MaxMultiplier) {
				p.Multiplier, err = 0, wrong("retry.multiplier", "must be a number from 1 to %d", dag.MaxMultiplier)
			}
		case field == "jitter":
			var word string
			if word, err = text("retry.jitter", v); err == nil && word != "" && word != "full" && word != "none" {
				err = wrong("retry.jitter", "must be full or none")
			}
			p.NoJitter = word == "none"
		case field == "retry_on":
			p.RetryOn, err = d.kinds("retry.retry_on", v)
		case field == "no_retry_on":
			p.NoRetryOn, err = d.kinds("retry.no_retry_on", v)
		default:
			err = wrong("retry."+Short(unescape(key)), "%s", Unknown(unescape(key), retryKeys))
		}
		return d.note(err)
	})
}
