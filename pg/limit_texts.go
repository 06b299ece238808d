package pg

import "github.com/taskgrove/taskgrove/dag"

// limitText is what a task of a submission asks for, as it is stored.
type limitText struct {
	known *dag.Limiting // whatever its identity is; nil: it depends on that
	text  string        // of known
	keyed *dag.KeyedLimiting
}

// of is the text for a task with the identity; nil: it asks for nothing.
func (l *limitText) of(id dag.Identity) []byte {
	switch {
	case l == nil:
		return nil
	case l.known != nil:
		return []byte(l.text)
	}
	return l.keyed.Of(id).Stored()
}

// limiting is what a task with the identity asks for.
func (l *limitText) limiting(id dag.Identity) *dag.Limiting {
	if l.known != nil {
		return l.known
	}
	return l.keyed.Of(id)
}

// limitTexts keeps one copy of what many tasks of a submission ask for alike.
type limitTexts struct {
	any       bool  // a task asks for something
	unbounded []int // tasks with limits that need what operators have set
	same      map[string]*limitText
}

// take keeps what task i asks for; nil: nothing.
func (ls *limitTexts) take(i int, t *dag.Task) *limitText {
	keyed := t.ReadKeys()
	if keyed == nil {
		return nil
	}
	ls.any = true
	if t.Limiting.Unbounded() != nil {
		ls.unbounded = append(ls.unbounded, i)
	}
	if !keyed.Known() {
		return &limitText{keyed: keyed}
	}
	known := keyed.Of(dag.Identity{})
	text := string(known.Stored())
	if one := ls.same[text]; one != nil {
		return one
	}
	one := &limitText{known: known.Clone(), text: text}
	if ls.same == nil {
		ls.same = map[string]*limitText{}
	}
	if len(ls.same) < maxShared {
		ls.same[text] = one
	}
	return one
}
