package journal

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
)

// Lane is the record of one job, which is first read from its beginning and then written. It belongs to one goroutine. A nil Lane records
// nothing.
type Lane struct {
	j    *Journal
	at   string
	lane *lane
	next int // step
}

// At is the lane's place; empty: it is none.
func (l *Lane) At() string {
	if l == nil {
		return ""
	}
	return l.at
}

// Done is how the job ended; nil: it has not.
func (l *Lane) Done() *Done {
	if l == nil {
		return nil
	}
	return l.lane.Done
}

// step is the next step if it is one that fits. What does not, and all that follows it, is forgotten: the job takes another way this time.
func (l *Lane) step(fits func(s *Step) bool) *Step {
	if l == nil {
		return nil
	}
	l.j.mu.Lock()
	defer l.j.mu.Unlock()
	if l.next == len(l.lane.Steps) {
		return nil
	}
	s := &l.lane.Steps[l.next]
	if !fits(s) {
		l.lane.Steps = l.lane.Steps[:l.next:l.next]
		return nil
	}
	l.next++
	return s
}

// Said is the answer of a model that comes next; nil: it is to be asked.
func (l *Lane) Said() *Said {
	if s := l.step(func(s *Step) bool { return s.Said != nil }); s != nil {
		return s.Said
	}
	return nil
}

// Ruled is what somebody said of the use of a tool that comes next; nil: nobody has.
func (l *Lane) Ruled(name string) *Ruled {
	if l == nil {
		return nil
	}
	l.j.mu.Lock()
	ruled := l.next < len(l.lane.Steps) && l.lane.Steps[l.next].Ruled != nil
	l.j.mu.Unlock()
	if !ruled { // what comes may well be the answer of the tool
		return nil
	}
	if s := l.step(func(s *Step) bool { return s.Ruled.Name == name }); s != nil {
		return s.Ruled
	}
	return nil
}

// Used is the answer of a tool that comes next; nil: it is to be used.
func (l *Lane) Used(name string) *Used {
	if s := l.step(func(s *Step) bool { return s.Used != nil && s.Used.Name == name }); s != nil {
		return s.Used
	}
	return nil
}

// Say records an answer of a model.
func (l *Lane) Say(s Said) { l.add(Step{Said: &s}) }

// Rule records what somebody said of a use of a tool. Nothing waits for an approval any more.
func (l *Lane) Rule(r Ruled) {
	if l == nil {
		return
	}
	l.j.mu.Lock()
	if l.j.r.Awaits == l.j.r.Asked[l.at].ID {
		l.j.r.Awaits = ""
	}
	delete(l.j.r.Asked, l.at)
	l.j.mu.Unlock()
	l.add(Step{Ruled: &r})
}

// Use records the answer of a tool. What was given to others for it is over: it returns what that used.
func (l *Lane) Use(u Used) executors.Usage {
	l.add(Step{Used: &u})
	return u.Below
}

func (l *Lane) add(s Step) {
	if l == nil {
		return
	}
	l.j.mu.Lock()
	defer l.j.mu.Unlock()
	l.lane.Steps = append(l.lane.Steps[:l.next:l.next], s)
	l.next++
	if s.Used != nil {
		l.j.made(s.Used)
		s.Used.Below = l.j.dropBelow(l.at)
	}
	l.j.store()
}

// End records how the job ended. Its steps are not needed any more.
func (l *Lane) End(d Done) {
	if l == nil {
		return
	}
	l.j.mu.Lock()
	defer l.j.mu.Unlock()
	l.lane.Steps, l.lane.Done, l.next = nil, &d, 0
	l.j.dropBelow(l.at)
	l.j.store()
}

// Ask notes that the use of a tool waits for an approval, and gives the question its id.
func (l *Lane) Ask(name string, arguments json.RawMessage) string {
	return l.j.ask(l.at, asked{Name: name, Arguments: arguments}, false)
}

// AskAgain is Ask where the last answer was none: the question gets another id.
func (l *Lane) AskAgain(name string, arguments json.RawMessage) string {
	return l.j.ask(l.at, asked{Name: name, Arguments: arguments}, true)
}

// Forget forgets what was done for the job: another attempt begins it anew.
func (l *Lane) Forget() {
	if l == nil {
		return
	}
	l.j.mu.Lock()
	defer l.j.mu.Unlock()
	l.j.drop(l.at)
	l.j.store()
}
