package executors

import "reflect"

// Owner is implemented by executors whose Go type does not say whose they are: one type may stand for many executors.
type Owner interface {
	// Owner says in a few words who made the executor: a command, a function. No secrets.
	Owner() string
}

// OwnerOf says whose an executor is: what it says itself as an [Owner], else the package of its type. Operators read it where two
// executors have the same id (spec 8.15).
func OwnerOf(e Executor) string {
	if o, ok := e.(Owner); ok {
		return o.Owner()
	}
	t := reflect.TypeOf(e)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "" {
		return "type " + t.String()
	}
	return "package " + t.PkgPath()
}
