package executors

// Outcome is the result of an attempt. [Completed] and [Partial] make one; there is no other way, so that more kinds can
// follow. The zero value and nil stand for Completed(nil).
type Outcome struct {
	kind  Kind
	value any
}

// Kind says which constructor made an [Outcome].
type Kind uint8

// The kinds of outcomes. Others may follow: whoever switches over them needs a default.
const (
	KindCompleted Kind = iota
	KindPartial
)

// Completed is the outcome of work that is done. The value becomes the task's result: it must be encodable as JSON; nil
// is null.
func Completed(value any) *Outcome { return &Outcome{KindCompleted, value} }

// Partial is the outcome of work that was stopped midway; it is returned together with the error that says why. The value is kept
// as the task's result when the task was cancelled, and dropped otherwise.
func Partial(value any) *Outcome { return &Outcome{KindPartial, value} }

// Kind says how the outcome was made.
func (o *Outcome) Kind() Kind {
	if o == nil {
		return KindCompleted
	}
	return o.kind
}

// Value is what the constructor was given.
func (o *Outcome) Value() any {
	if o == nil {
		return nil
	}
	return o.value
}
