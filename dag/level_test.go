package dag_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

func TestLevelsAreNumberedWithoutGaps(t *testing.T) {
	for i, l := range dag.AllLevels {
		if l.Level != dag.BaseLevel+dag.Level(i) || l.Name == "" || l.Since == "" {
			t.Errorf("row %d of the levels is %+v", i, l)
		}
	}
	if got := dag.AllLevels.Highest(); int(got) != len(dag.AllLevels) {
		t.Errorf("the highest of %d levels is %d", len(dag.AllLevels), got)
	}
}

func TestATaskNeedsTheHighestLevelOfItsFeatures(t *testing.T) {
	named := func(name string) func(*dag.Task) bool {
		return func(t *dag.Task) bool { return strings.Contains(t.Name, name) }
	}
	levels := dag.Levels{{Level: 1, Name: "base", Since: "1.0.0"}, {Level: 2, Name: "folds", Since: "2.0.0", Needs: named("fold")},
		{Level: 3, Name: "faster", Since: "3.0.0"}, {Level: 4, Name: "gates", Since: "4.0.0", Needs: named("gate")}}
	for name, want := range map[string]dag.Level{"plain": 1, "fold": 2, "gate": 4, "fold gate": 4} {
		if got := levels.Needed(&dag.Task{Name: name}); got != want {
			t.Errorf("%s needs level %d, want %d", name, got, want)
		}
	}
	if got := (dag.Levels)(nil).Needed(&dag.Task{Name: "fold"}); got != dag.BaseLevel {
		t.Errorf("without a table a task needs level %d", got)
	}
	refusal := levels.Refuse(2, `worker "w"`, "1.9.0", 1).Error()
	for _, want := range []string{"level 2 (folds, since version 2.0.0)", `worker "w"`, "1.9.0", "level 1"} {
		if !strings.Contains(refusal, want) {
			t.Errorf("%q does not say %q", refusal, want)
		}
	}
}
