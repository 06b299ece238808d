package coordinator_test

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/tests/cluster"
)

func TestAWorkerThatLeavesIsGoneAndNotLost(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 2})
	if err := c.Workers[0].Stop(); err != nil {
		t.Fatal(err)
	}
	workers, err := c.Service().Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, w := range workers {
		got[w.ID] = w.State
	}
	if want := "map[worker-1:gone worker-2:alive]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
