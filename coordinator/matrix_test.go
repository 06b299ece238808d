package coordinator_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/policy"
)

// ofWhole are the methods that are about a namespace or the cluster as a whole, also if they name something.
var ofWhole = []string{"Workers", "Coordinators", "Pools", "Diagnose", "SetPoolRule", "DeletePoolRule", "PoolRules", "Verify", "CreateWebhook", "Resend", "ListWebhooks", "Deliveries",
	"Record", "ReadRecord", "VerifyRecord", "GrantRole", "RevokeRole", "Bindings", "Demand", "WatchDemand", "SetLimit", "Limits", "DeleteLimit", "SetWeight", "Locks", "BreakLock", "Pause", "Resume",
	"UpdateSchedule", "TriggerSchedule", "RenewScheduleSecret", "BackfillSchedule", "ScheduleRuns", "Erase", "Erasure", "Erasures"}

// ofNobody are the methods about nothing that anybody owns.
var ofNobody = []string{"Executors", "Executor", "CheckAttachment", "NextInstants", "ValidateFlow"}

// ofCaller are the methods that list, or store what becomes the caller's, when they name nobody.
var ofCaller = []string{"Submit", "Generate", "Tasks", "Trees", "Usage", "KeepAgentTask", "Logs", "Artifacts", "OpenArtifact", "AgentTasks", "CreateAPIKey", "APIKeys", "Pauses", "Holds", "CreateSchedule", "Schedules", "ApplyFlow", "ApplyBundle", "PutBundleFile", "Bundles", "Flows", "RunFlow", "FlowRuns", "ResumeFlowRun", "RestartFlowRun", "ApplyProfiles", "Profiles"}

// TestMatrixOfMethods: each method of the service × each role, held in a namespace, in all and in another × own, another's, nobody's and not there. What the
// table of the policy allows reaches the service; nothing else does.
func TestMatrixOfMethods(t *testing.T) {
	t.Parallel()
	cells := 0
	for owner, whose := range map[string]policy.Whose{"x": policy.Own, "amy": policy.Others, "": policy.Ownerless, "not there": policy.None} {
		things := owners{"x": owner}
		if whose == policy.None {
			delete(things, "x")
		}
		for _, role := range append([]policy.Role{{Name: "none"}}, policy.Roles...) {
			for _, place := range []string{coordinator.DefaultNamespace, policy.AllNamespaces, "team-b"} {
				held := []policy.Holding{{Role: role.Name, Namespace: place}}
				caller := holding("x", held[0].String())
				rules := coordinator.ByRoles(things, coordinator.RoleSettings{})
				for name, permission := range coordinator.MethodPermissions() {
					if permission == "" {
						continue
					}
					cells++
					reach := policy.Reach(held, nil, coordinator.DefaultNamespace, permission)
					if permission == policy.ApprovalsAnswer { // of a task that names nobody
						reach |= policy.Reach(held, nil, coordinator.DefaultNamespace, policy.TreesExecute)
					}
					sees := policy.Reach(held, nil, coordinator.DefaultNamespace, policy.TreesRead) == policy.All
					may, missing := mayReach(name, reach, whose), whose == policy.None && reach != policy.None && reach != policy.All && sees && ofNamed(name)
					reached, err := reaches(coordinator.NewAccess(nil, rules).For(caller), name)
					if reached != may || !may && !missing && !errors.Is(err, coordinator.ErrDenied) || missing && !errors.Is(err, coordinator.ErrNotFound) {
						t.Errorf("%s of what is %q's by %s: reached %v, %v; want %v", name, owner, held[0], reached, err, may)
					}
				}
			}
		}
	}
	if cells < 4000 {
		t.Errorf("%d cells", cells)
	}
}

// ofNamed reports whether a method asks for a thing that may be anybody's.
func ofNamed(name string) bool {
	return !slices.Contains(ofWhole, name) && !slices.Contains(ofNobody, name) && !slices.Contains(ofCaller, name) && !slices.Contains(ofUser, name) && !slices.Contains(ofAPIKey, name)
}

// mayReach reads the table: whether a caller, of whom a user or API key "x" is, reaches a method's thing.
func mayReach(name string, reach, whose policy.Whose) bool {
	switch {
	case slices.Contains(ofNobody, name):
		return reach != policy.None
	case slices.Contains(ofWhole, name):
		return reach.Has(policy.Ownerless)
	case !ofNamed(name):
		return reach.Has(policy.Own)
	case whose == policy.None: // who reaches all is told by the service
		return reach == policy.All
	}
	return reach.Has(whose)
}

// reaches calls a method, and reports whether it reaches the service, which is none.
func reaches(svc coordinator.Service, name string) (reached bool, err error) {
	defer func() {
		if recover() != nil {
			reached = true
		}
	}()
	err = call(svc, name)
	return err != nil && !errors.Is(err, coordinator.ErrDenied) && !errors.Is(err, coordinator.ErrNotFound), err // a fault that only who may is told
}

// TestMatrixHasAllMethods: whoever adds a method says above what it is about, unless it is about a task.
func TestMatrixHasAllMethods(t *testing.T) {
	t.Parallel()
	service := reflect.TypeFor[coordinator.Service]()
	for _, name := range slices.Concat(ofWhole, ofNobody, ofCaller) {
		if _, ok := service.MethodByName(name); !ok {
			t.Errorf("there is no method %s", name)
		}
	}
}
