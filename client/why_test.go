package client_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

func TestWhyKeepsEveryField(t *testing.T) {
	c, svc := start(t)
	sub, err := c.Submit(t.Context(), []client.NewTask{{Name: "a"}}, client.Hold())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Why(t.Context(), sub.TreeID); err != nil || len(got.Waits) != 1 || got.Waits[0].Kind != "execute" ||
		got.State != "held" || got.Status != "pending" || got.TreeID != sub.TreeID || got.TaskID != sub.TreeID || got.Summary == "" {
		t.Errorf("got %+v, %v", got, err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	given := coordinator.Wait{Kind: coordinator.WaitRetry, Text: "t", TaskID: "i", TaskState: dag.Ready, Error: "e", Pool: "p", Until: at, Since: at.Add(1),
		Ahead: 1, Capacity: 2, Attempt: 3, Worker: "w"}
	want := client.Wait{Kind: "retry", Text: "t", TaskID: "i", TaskState: "ready", Error: "e", Pool: "p", Until: at, Since: at.Add(1),
		Ahead: 1, Capacity: 2, Attempt: 3, Worker: "w"}
	svc.Explain(sub.TreeID, given, coordinator.Wait{Kind: coordinator.WaitSlot, Until: at, Worker: "w"})
	got, err := c.Why(t.Context(), sub.TreeID)
	if err != nil || !reflect.DeepEqual(got.Waits, []client.Wait{want, {Kind: "slot", Until: at, Worker: "w"}}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Why(t.Context(), "nope"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("an unknown task: got %v", err)
	}
	if _, err := c.Why(t.Context(), ""); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("no task: got %v", err)
	}
}
