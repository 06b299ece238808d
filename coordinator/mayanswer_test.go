package coordinator_test

import (
	"context"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

// awaiting is a service whose list has tasks that wait for approvals.
type awaiting struct {
	coordinator.Service
	tasks []coordinator.Task
}

func (a awaiting) Tasks(context.Context, coordinator.TaskFilter) (page coordinator.Page[*coordinator.Task], err error) {
	for _, t := range a.tasks {
		page.Items = append(page.Items, &t)
	}
	return page, nil
}

// TestListsTellWhoMayAnswer: what a list says is what an answer would meet, and no task is looked up for it: there is nobody to ask.
func TestListsTellWhoMayAnswer(t *testing.T) {
	t.Parallel()
	wait := func(id, owner, data string) coordinator.Task {
		return coordinator.Task{ID: id, UserID: owner, Waiting: &coordinator.Waiting{Kind: "approval", Data: []byte(data)}}
	}
	svc := awaiting{tasks: []coordinator.Task{
		wait("mine", "x", `{"message":"?"}`), wait("another's", "amy", `{}`), wait("nobody's", "", ""), wait("names me", "amy", `{"approvers":["x"]}`),
		wait("names amy", "x", `{"approvers":["amy"]}`), wait("names a role", "x", `{"approvers":["viewer","operator"]}`), wait("can't be read", "x", `[`),
	}}
	for role, want := range map[string]string{
		"operator": "mine another's nobody's names me names a role ", "viewer": "names me names a role ", "submitter": "mine names me ",
	} {
		for _, lists := range []bool{true, false} {
			page, err := coordinator.NewAccess(svc, coordinator.ByRoles(owners{}, coordinator.RoleSettings{})).For(holding("x", role+"@default")).Tasks(t.Context(), coordinator.TaskFilter{Approvals: lists})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, one := range page.Items {
				if one.MayAnswer {
					got += one.ID + " "
				}
			}
			if lists && got != want || !lists && got != "" {
				t.Errorf("%s, of approvals alone: %v: may answer %s; want %s", role, lists, got, want)
			}
		}
	}
}
