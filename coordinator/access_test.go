package coordinator_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

var errRefused = errors.New("refused")

// asked is what a policy was asked.
type asked struct {
	caller coordinator.Caller
	call   coordinator.Call
}

// call calls the method with zero arguments, but "x" for each text, and returns its error; that of an iterator's first
// step, if it gives one.
func call(svc coordinator.Service, name string) error {
	method := reflect.ValueOf(svc).MethodByName(name)
	args := []reflect.Value{reflect.ValueOf(context.Background())}
	for i := 1; i < method.Type().NumIn(); i++ {
		arg := reflect.New(method.Type().In(i)).Elem()
		if arg.Kind() == reflect.String {
			arg.SetString("x")
		}
		args = append(args, arg)
	}
	out := method.Call(args)
	last := out[len(out)-1]
	if last.Kind() == reflect.Func {
		for _, second := range last.Seq2() {
			last = second
			break
		}
	}
	err, _ := last.Interface().(error)
	return err
}

// noTask are the methods whose text is no task: a user, a cursor, an executor, a webhook, a delivery, an owner of keys, an API key, a schedule, an agent's task, a flow, a run of one, a bundle, a profile, a signed link, or what may stand for several tasks.
var noTask = []string{"Running", "Executors", "Executor", "Resolve", "GetWebhook", "UpdateWebhook", "DeleteWebhook", "TestWebhook", "Resend",
	"SetModelKey", "ModelKeys", "DeleteModelKey", "AgentTask", "DropAgentTask", "RevokeAPIKey", "RotateAPIKey", "DeletePoolRule", "RotateDataKeys",
	"GetNamespace", "UpdateNamespace", "DeleteNamespace", "LinkedApproval", "ApproveByLink", "SetWeight", "GetSchedule", "PauseSchedule", "ResumeSchedule", "DeleteSchedule", "Erasure",
	"Flow", "DeleteFlow", "FlowRun", "CancelFlowRun", "DeleteBundle", "Profile", "DeleteProfile"}

// ofCluster are the methods about the cluster itself.
var ofCluster = []string{"Diagnose", "SealStatus", "RotateDataKeys", "RewrapDataKeys", "RotateTokens"}

// ofUser are the methods whose text is a user.
var ofUser = []string{"Running", "Resolve", "SetModelKey", "ModelKeys", "DeleteModelKey", "SetWeight"}

// ofWebhook are the methods whose first text is a webhook.
var ofWebhook = []string{"GetWebhook", "UpdateWebhook", "DeleteWebhook", "TestWebhook"}

// ofAPIKey are the methods whose first text is an API key.
var ofAPIKey = []string{"RevokeAPIKey", "RotateAPIKey"}

// ofSchedule are the methods whose first text is a schedule.
var ofSchedule = []string{"GetSchedule", "PauseSchedule", "ResumeSchedule", "DeleteSchedule"}

// ofAgent are the methods whose text is a task of the A2A protocol.
var ofAgent = []string{"AgentTask", "DropAgentTask"}

// ofFlow, ofRun and ofProfile are the methods whose first text is a flow, a run of one, and a profile.
var (
	ofFlow = []string{"Flow", "DeleteFlow"}
	ofRun  = []string{"FlowRun", "CancelFlowRun"}

	ofProfile = []string{"Profile", "DeleteProfile"}
)

// TestEveryCallPassesThePolicy finds the methods by reflection, so that none that is added can go past it.
func TestEveryCallPassesThePolicy(t *testing.T) {
	t.Parallel()
	caller := coordinator.Anonymous(coordinator.SurfaceGRPC, "10.0.0.1:2")
	caller.Namespace = coordinator.DefaultNamespace
	var got []asked
	svc := coordinator.NewAccess(nil, func(_ context.Context, caller coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		call.Details = nil // are for the record
		got = append(got, asked{caller, call})
		return coordinator.Grant{}, errRefused
	}).For(caller) // there is no service behind it: a call that goes past the policy panics
	service := reflect.TypeFor[coordinator.Service]()
	for i := range service.NumMethod() {
		method := service.Method(i)
		got = nil
		if err := call(svc, method.Name); !errors.Is(err, errRefused) {
			t.Errorf("%s: got %v, want the policy's refusal", method.Name, err)
		}
		want := coordinator.Call{Method: method.Name}
		if named := method.Type.NumIn() > 1 && method.Type.In(1).Kind() == reflect.String && !slices.Contains(noTask, method.Name); named {
			want.ID = "x"
		}
		if slices.Contains(ofUser, method.Name) {
			want.UserID = "x"
		}
		if slices.Contains(ofCluster, method.Name) {
			want.Namespace = coordinator.AllNamespaces
		}
		if slices.Contains(ofWebhook, method.Name) {
			want.Webhook = "x"
		}
		if slices.Contains(ofAPIKey, method.Name) {
			want.APIKey = "x"
		}
		if slices.Contains(ofSchedule, method.Name) {
			want.Schedule = "x"
		}
		if slices.Contains(ofAgent, method.Name) {
			want.AgentTask = "x"
		}
		if slices.Contains(ofFlow, method.Name) {
			want.Flow = "x"
		}
		if slices.Contains(ofRun, method.Name) {
			want.Run = "x"
		}
		if slices.Contains(ofProfile, method.Name) {
			want.Profile = "x"
		}
		if method.Name == "DeleteBundle" {
			want.Bundle = "x"
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0], asked{caller, want}) {
			t.Errorf("%s: the policy was asked %+v, want once, for %+v", method.Name, got, want)
		}
	}
}

// reached is a service of two methods; the others panic.
type reached struct{ coordinator.Service }

func (reached) Watch(context.Context, string, int64) iter.Seq2[*coordinator.Event, error] {
	return func(yield func(*coordinator.Event, error) bool) {
		_ = yield(&coordinator.Event{Sequence: 1}, nil) && yield(&coordinator.Event{Sequence: 2}, nil)
	}
}

func (reached) Tasks(_ context.Context, f coordinator.TaskFilter) (coordinator.Page[*coordinator.Task], error) {
	return coordinator.Page[*coordinator.Task]{Next: f.Cursor}, coordinator.ErrConflict
}

// TestWhatIsAllowedGoesThrough looks at one call of each form: arguments, answers and errors pass unchanged.
func TestWhatIsAllowedGoesThrough(t *testing.T) {
	t.Parallel()
	var ids []string
	svc := coordinator.NewAccess(reached{}, func(_ context.Context, _ coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		ids = append(ids, call.ID)
		return coordinator.Grant{}, nil
	}).For(coordinator.Caller{})
	page, err := svc.Tasks(t.Context(), coordinator.TaskFilter{TreeOf: "t", Cursor: "c"})
	if page.Next != "c" || !errors.Is(err, coordinator.ErrConflict) {
		t.Errorf("tasks: got %+v, %v", page, err)
	}
	var sequences []int64
	watch := svc.Watch(t.Context(), "w", 0)
	for e, err := range watch {
		if err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, e.Sequence)
	}
	if !reflect.DeepEqual(sequences, []int64{1, 2}) || !reflect.DeepEqual(ids, []string{"t", "w"}) {
		t.Errorf("got events %v and policy questions about %v", sequences, ids)
	}
}
