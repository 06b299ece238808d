package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
)

// Version of the record. One of another version counts as none: what it stands for is done again.
const version = 1

// Bounds of what is read: nobody but an attempt of the same task wrote it, and it may be of another build.
const (
	maxLanes = 1000
	maxSteps = 10_000
)

// Step is something that an agent did: one of its fields is set.
type Step struct {
	Said  *Said  `json:"said,omitempty"`
	Ruled *Ruled `json:"ruled,omitempty"`
	Used  *Used  `json:"used,omitempty"`
}

// Said is an answer of a model.
type Said struct {
	Text   string          `json:"text,omitempty"`
	Calls  []Call          `json:"calls,omitempty"`
	Finish string          `json:"finish,omitempty"`
	Model  string          `json:"model,omitempty"`
	Usage  executors.Usage `json:"usage,omitzero"`
}

// Call is a use of a tool that a model asked for. Arguments are as it wrote them, which may not be JSON.
type Call struct {
	ID        string `json:"id,omitempty"`
	Name      string `json:"name"`
	Arguments string `json:"arguments,omitempty"`
}

// Ruled is what somebody said of a use of a tool that needed an approval.
type Ruled struct {
	Name      string          `json:"name"` // of the tool
	Choice    string          `json:"choice"`
	Arguments json.RawMessage `json:"arguments,omitempty"` // instead of the model's
	By        string          `json:"by,omitempty"`
	Comment   string          `json:"comment,omitempty"`
}

// Used is the answer of a tool.
type Used struct {
	Name   string `json:"name"`
	Text   string `json:"text,omitempty"`
	Failed bool   `json:"failed,omitempty"`
	// What made the key of the use, if it has one: Says stands for all that it said, and Number counts the uses that say the same.
	Says   string `json:"says,omitempty"`
	Number int    `json:"number,omitempty"`
	// Below is what the jobs used that were given to others for it. [Lane.Use] sets it.
	Below executors.Usage `json:"below,omitzero"`
}

// Done is a job that came to its end.
type Done struct {
	Text  string          `json:"text,omitempty"`
	JSON  json.RawMessage `json:"json,omitempty"`
	Model string          `json:"model,omitempty"`
	Uses  int             `json:"uses,omitempty"`
	Short string          `json:"short,omitempty"`
	Usage executors.Usage `json:"usage,omitzero"` // of the job, with those that it gave to others
}

// asked is a use of a tool that waits for an approval.
type asked struct {
	Name      string          `json:"name"` // of the tool
	Arguments json.RawMessage `json:"arguments,omitempty"`
	ID        string          `json:"id"` // of the question: each of a run has another
}

// record is what is stored.
type record struct {
	Version int              `json:"journal"`
	Run     string           `json:"run"` // the idempotency key: keys of tools, spending and questions are of one run
	Seen    executors.Usage  `json:"seen,omitzero"`
	Used    []ofModel        `json:"used,omitempty"`
	Made    map[string][]int `json:"made,omitempty"`
	Lanes   map[string]*lane `json:"lanes,omitempty"`
	Asked   map[string]asked `json:"asked,omitempty"`     // by lane
	Awaits  string           `json:"awaits,omitempty"`    // the question that the attempt ended with
	Number  int              `json:"questions,omitempty"` // that were asked of people
}

type ofModel struct {
	Model string          `json:"model"`
	Usage executors.Usage `json:"usage"`
}

type lane struct {
	Print string `json:"print"` // of what the job is: another job has no use for what was done
	Steps []Step `json:"steps,omitempty"`
	Done  *Done  `json:"done,omitempty"`
}

// Journal is the record of one run of a task, as one attempt has it. Safe for concurrent use. A nil Journal records nothing.
type Journal struct {
	mu     sync.Mutex
	r      record
	save   func(json.RawMessage) error
	tell   func(line string)
	silent bool // said before that it does not fit
}

// Open makes the journal of an attempt that goes on from a checkpoint; an empty one, or one that can't be read, is a beginning. The calls that
// attempts made which nobody heard of again are added to call.Spent and recorded as this attempt's, once. What is recorded from now on is
// handed to the call's reporter.
//
// It returns a call for the attempt to use instead: what it uses of models is noted.
func Open(call *executors.Call, checkpoint json.RawMessage, save func(json.RawMessage) error) (*Journal, *executors.Call) {
	j := &Journal{save: save, tell: func(line string) { call.Reporter.Log("log", line) }}
	if len(checkpoint) > 0 {
		if err := j.r.read(checkpoint); err != nil {
			j.r = record{}
			j.tell("the checkpoint of an earlier attempt can't be used, and all is done again: " + err.Error())
		}
	}
	own := *call
	lost := j.r.Used
	if j.r.Seen != call.Spent || j.r.Run != call.IdempotencyKey { // that attempt was heard of, and all that it used with it
		lost = nil
	}
	if j.r.Run != call.IdempotencyKey {
		j.r.Made, j.r.Asked, j.r.Awaits = nil, nil, ""
	}
	j.r.Version, j.r.Run, j.r.Seen, j.r.Used = version, call.IdempotencyKey, call.Spent, nil
	own.Used = func(model string, u executors.Usage) {
		j.spend(model, u)
		call.Record(model, u)
	}
	for _, m := range lost {
		own.Spent.Add(m.Usage)
		own.Used(m.Model, m.Usage)
	}
	return j, &own
}

// read reads what was stored.
func (r *record) read(checkpoint json.RawMessage) error {
	text, err := unpack(checkpoint)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, r); err != nil {
		return errors.New("it is no journal")
	}
	if r.Version != version {
		return errors.New("it is of another version of Taskgrove")
	}
	if len(r.Lanes) > maxLanes {
		return errors.New("it has too many jobs")
	}
	for _, l := range r.Lanes {
		if l == nil || len(l.Steps) > maxSteps {
			return errors.New("it has too many steps")
		}
	}
	return nil
}

// Resumed reports whether there is something to go on from.
func (j *Journal) Resumed() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.r.Lanes) > 0
}

func (j *Journal) spend(model string, u executors.Usage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.r.Used {
		if m := &j.r.Used[i]; m.Model == model && (m.Usage.Currency == u.Currency || m.Usage.Currency == "" || u.Currency == "") {
			m.Usage.Add(u)
			return
		}
	}
	j.r.Used = append(j.r.Used, ofModel{model, u})
}

// Lane is the record of one job: at is its place among those of the run, and about all that it consists of, so that what was done counts for
// that job alone. A job has one Lane at a time.
func (j *Journal) Lane(at string, about ...string) *Lane {
	if j == nil {
		return nil
	}
	sum := sha256.New()
	for _, text := range about {
		_ = json.NewEncoder(sum).Encode(text) // a hash takes all
	}
	mark := hex.EncodeToString(sum.Sum(nil)[:8])
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.r.Lanes[at]
	if l == nil || l.Print != mark {
		j.drop(at)
		l = &lane{Print: mark}
		if j.r.Lanes == nil {
			j.r.Lanes = map[string]*lane{}
		}
		j.r.Lanes[at] = l
	}
	return &Lane{j: j, at: at, lane: l}
}

// drop forgets a lane and those of the jobs that were given to others on its way. The caller holds mu.
func (j *Journal) drop(at string) {
	delete(j.r.Lanes, at)
	delete(j.r.Asked, at)
	j.dropBelow(at)
}

// dropBelow drops only the latter, and gives what they used that have come to their end. The caller holds mu.
func (j *Journal) dropBelow(at string) (used executors.Usage) {
	for other, l := range j.r.Lanes {
		if name, ok := strings.CutPrefix(other, at+"/"); ok && !strings.Contains(name, "/") && l.Done != nil {
			used.Add(l.Done.Usage)
		}
	}
	maps.DeleteFunc(j.r.Lanes, func(other string, _ *lane) bool { return strings.HasPrefix(other, at+"/") })
	maps.DeleteFunc(j.r.Asked, func(other string, _ asked) bool { return strings.HasPrefix(other, at+"/") })
	return used
}

// Made are the numbers of all uses of tools that are over, by what they say (see [Used]). A further use has another.
func (j *Journal) Made() map[string][]int {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make(map[string][]int, len(j.r.Made))
	for says, numbers := range j.r.Made {
		out[says] = slices.Clone(numbers)
	}
	return out
}

// made notes that a use is over. The caller holds mu.
func (j *Journal) made(u *Used) {
	if u.Number == 0 {
		return
	}
	if j.r.Made == nil {
		j.r.Made = map[string][]int{}
	}
	j.r.Made[u.Says] = append(j.r.Made[u.Says], u.Number)
}

// ask notes that a use of a tool waits for an approval, and gives the question its id. It is the same for the same use.
func (j *Journal) ask(at string, a asked, anew bool) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, ok := j.r.Asked[at]; ok && !anew && old.Name == a.Name && string(old.Arguments) == string(a.Arguments) {
		return old.ID
	}
	j.r.Number++
	a.ID = "q" + strconv.Itoa(j.r.Number)
	if j.r.Asked == nil {
		j.r.Asked = map[string]asked{}
	}
	j.r.Asked[at] = a
	j.store()
	return a.ID
}

// Await notes with which of the questions the attempt ends: the answer that the next one is given is to that.
func (j *Journal) Await(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.r.Awaits = id
	j.store()
}

// Awaits is the question that the attempt before ended with; empty: none.
func (j *Journal) Awaits() string {
	if j == nil {
		return ""
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.r.Awaits
}

// store hands out what there is, if it fits. The caller holds mu.
func (j *Journal) store() {
	text, err := j.r.pack()
	if err == nil {
		err = j.save(text)
	}
	if err != nil && !j.silent {
		j.tell("a further attempt would do again what comes from here on: " + err.Error())
	}
	j.silent = err != nil
}
