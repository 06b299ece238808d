package coordinator

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// Call is what a caller asks for.
type Call struct {
	Method string // as in [Service]: "Submit"
	// Permission is what it takes, if that is another one than that of its method, for a part of it; empty: the method's.
	Permission Permission
	ID         string // the task or tree that it names; empty when it names none, as of the others
	UserID     string // the owner that it names, of what it lists or stores
	Webhook    string // the id of the webhook that it names
	Schedule   string // the id of the schedule that it names
	Flow       string // the id of the registered flow that it names
	Bundle     string // the id of the bundle that it names
	Profile    string // the name of the registered profile that it names
	Run        string // the run of a flow that it names, as RUN or FLOW/RUN
	AgentTask  string // the task of the A2A protocol that it names
	// Namespace is what it is about, if that is not where it is made; [AllNamespaces]: the cluster itself.
	Namespace string
	APIKey    string // the id of the API key that it names
	// Grants and GrantScopes are the roles and the scopes that it asks for, for a new API key; none: as its maker has them.
	Grants      []RoleIn
	GrantScopes []Permission
	Details     Details // what else the record keeps of it

	known *knownTask // what is known of the task ID; nil: it is looked up
}

// knownTask is what a list has told of a task that waits for an approval.
type knownTask struct {
	owner     string   // of its tree
	approvers []string // that it names
}

// Grant is what a call that is allowed may reach.
type Grant struct {
	// UserID is the only owner whose tasks are listed, or whose a new tree becomes, and whose idempotency keys count; empty: as the call says.
	UserID string
	// Only is the only user whose thing counts of several that have, or come to have, the name that the call has: a run, a flow, a bundle, a profile; empty: anybody's.
	Only string
	// Roles and Scopes are what a new API key gets, or, of a caller that asks about itself, its own.
	Roles  []RoleIn
	Scopes []Permission
	// Attempt is the attempt whose approval may be answered; 0: any.
	Attempt int32
	// Incomplete: of a caller that asks about itself, there may be other roles, which can't be known now.
	Incomplete bool
}

// Policy decides whether a call may be made: how far it may reach, or why not. It is asked before the service is: once for each call, at the
// first step of those that give an iterator. A submission whose tasks name an owner is asked about once more, with that owner, and a call of which a
// part takes a permission of its own, with that.
type Policy func(ctx context.Context, caller Caller, call Call) (Grant, error)

// AllowAll is the policy without access control.
func AllowAll(context.Context, Caller, Call) (Grant, error) { return Grant{}, nil }

// Access is how surfaces reach a service: they are given an Access and never the service itself, so that each call has
// a caller and has passed the policy. A caller is bound once, by [Access.For], rather than passed with each call: one
// request makes several calls on behalf of the same caller, and can't mix it up with another's.
type Access struct {
	service  Service
	policy   Policy
	recorder Recorder // nil: nothing is recorded
}

// Namespaces gives the service of each namespace. A [Service] that does not implement it has only [DefaultNamespace].
type Namespaces interface {
	In(namespace string) Service
}

// Recorder keeps the record of what callers change and what they are refused.
type Recorder interface {
	// Begin notes that a call which may change something begins, before it does. The error forbids it: what can't be recorded does not happen.
	// end notes how it ended, and what it made; it is called once, and does not wait.
	Begin(ctx context.Context, caller Caller, call Call) (end func(made Details, err error), err error)
	// Refused notes a call that the policy refused, and why.
	Refused(ctx context.Context, caller Caller, call Call, why error)
}

// NewAccess gives access to the service under the policy.
func NewAccess(service Service, policy Policy) *Access {
	return &Access{service: service, policy: policy}
}

// Record lets a recorder note what is changed and refused from now on. It must come before the first call.
func (a *Access) Record(by Recorder) *Access {
	a.recorder = by
	return a
}

// For is the service on behalf of a caller, in the caller's namespace.
func (a *Access) For(caller Caller) Service {
	if caller.Namespace == "" {
		caller.Namespace = DefaultNamespace
	}
	next := a.service
	if all, ok := next.(Namespaces); ok {
		next = all.In(caller.Namespace)
	}
	return &guarded{next: next, policy: a.policy, recorder: a.recorder, caller: caller}
}

// guarded asks the policy before each call. Its methods stand below the interfaces of their roles. It embeds nothing, so that
// a method which is added to [Service] does not compile until it is guarded, too.
type guarded struct {
	next     Service
	policy   Policy
	recorder Recorder
	caller   Caller
}

// part is something that a call may have with it, and that takes a permission of its own.
type part struct {
	there      bool
	permission Permission
	schedule   string // whose runs the call is to know; empty: none
	flow       string // that the call is to know; empty: none
	bundle     string // likewise
}

// allow asks the policy, also for the parts of a call, and has the record know of a refusal and of what may be changed. end is called when the call has ended.
func (g *guarded) allow(ctx context.Context, call Call, parts ...part) (to Grant, end func(Details, error), err error) {
	end = func(Details, error) {}
	to, err = g.policy(ctx, g.caller, call)
	for _, p := range parts {
		if err == nil && p.there {
			asked := call
			if asked.Permission = p.permission; p.schedule != "" {
				asked = Call{Method: "ScheduleRuns", Schedule: p.schedule}
			} else if p.flow != "" {
				asked = Call{Method: "Flow", Flow: p.flow}
			} else if p.bundle != "" {
				asked = Call{Method: "DeleteBundle", Permission: policy.FlowsRead, Bundle: p.bundle} // a method that is about one

			}
			_, err = g.policy(ctx, g.caller, asked)
		}
	}
	switch {
	case g.recorder == nil, ctx.Value(partOfAnother{}) != nil:
	case err != nil:
		g.recorder.Refused(ctx, g.caller, call, err)
	case methods[call.Method].changes:
		end, err = g.recorder.Begin(ctx, g.caller, call)
	}
	return to, end, err
}

// partOfAnother marks the context of calls that are made as a part of another: the record has that one.
type partOfAnother struct{}

func asPart(ctx context.Context) context.Context {
	return context.WithValue(ctx, partOfAnother{}, true)
}

// ask makes a call that has one answer, if the policy allows it.
func ask[T any](ctx context.Context, g *guarded, call Call, do func() (T, error), parts ...part) (T, error) {
	return askFor(ctx, g, call, func(string) (T, error) { return do() }, parts...)
}

// onlyOf is the key of the context under which it is noted whose things a name may stand for.
type onlyOf struct{}

// only is the only user whose run, flow, bundle or profile the name of a call may stand for, and of whom contents of bundles count; empty: anybody's.
func only(ctx context.Context) string {
	user, _ := ctx.Value(onlyOf{}).(string)
	return user
}

// askNamed makes a call about what has a name that others may give, too, if the policy allows it: do is told by its context whose counts, see [only].
func askNamed[T any](ctx context.Context, g *guarded, call Call, do func(ctx context.Context, owner string) (T, error), parts ...part) (T, error) {
	to, end, err := g.allow(ctx, call, parts...)
	if err != nil {
		var none T
		return none, err
	}
	answer, err := do(context.WithValue(by(ctx, g.caller.Name), onlyOf{}, to.Only), cmp.Or(to.UserID, call.UserID))
	if errors.Is(err, pg.ErrOthers) { // it came to be another's since the policy looked
		how := methods[call.Method]
		err = &DeniedError{User: g.caller.User, Operation: how.operation, Permission: how.permission, Namespace: call.namespace(g.caller), Own: true}
	}
	end(madeBy(answer, err), err)
	return answer, err
}

// askFor makes a call that lists or stores, if the policy allows it: owner is whose tasks it lists, empty for everybody's, or who gets what it
// stores, empty for nobody.
func askFor[T any](ctx context.Context, g *guarded, call Call, do func(owner string) (T, error), parts ...part) (T, error) {
	to, end, err := g.allow(ctx, call, parts...)
	if err != nil {
		var none T
		return none, err
	}
	if to.UserID == "" {
		to.UserID = call.UserID
	}
	answer, err := do(to.UserID)
	end(madeBy(answer, err), err)
	return answer, err
}

// askTo makes a call that has to know how far it reaches, if the policy allows it.
func askTo[T any](ctx context.Context, g *guarded, call Call, do func(Grant) (T, error)) (T, error) {
	to, end, err := g.allow(ctx, call)
	if err != nil {
		var none T
		return none, err
	}
	answer, err := do(to)
	end(madeBy(answer, err), err)
	return answer, err
}

// follow makes a call that has an iterator of answers, if the policy allows it.
func follow[T any](ctx context.Context, g *guarded, call Call, do func() iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		_, end, err := g.allow(ctx, call)
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		do()(yield)
		end(nil, nil)
	}
}
