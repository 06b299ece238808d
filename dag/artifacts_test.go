package dag

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Patterns of files are judged when a tree is submitted, all of them at once.
func TestArtifactPatterns(t *testing.T) {
	faults := func(patterns []string) map[string]string {
		t.Helper()
		_, err := build(Limits{}, with(node("t", ""), func(t *Task) { t.Executor, t.Control = "command_executor", &Control{Artifacts: patterns} }))
		told := map[string]string{}
		if all, ok := errors.AsType[*InvalidTreeError](err); ok {
			for _, p := range all.Problems {
				told[p.Field] = p.Reason
			}
		} else if err != nil {
			t.Fatal(err)
		}
		return told
	}
	good := []string{"out/*.csv", "a", "**/x", "./x", "a/[a-z]?/**", "a..b/c", strings.Repeat("x", 512)}
	bad := [][2]string{
		{"", "without .."}, {"/etc/passwd", "without .."}, {"../x", "without .."}, {"a/../../x", "without .."}, {"..", "without .."}, {`a\b`, `must not have \`}, {"[", "without its ]"},
		{"[a/b]", "without its ]"}, {"**/**/**/x", "twice at most"}, {"a\x00", "NUL"}, {"a\xff", "UTF-8"}, {strings.Repeat("x", 513), "at most 512"},
	}
	patterns := slices.Clone(good)
	for _, row := range bad {
		patterns = append(patterns, row[0])
	}
	told := faults(patterns)
	for i, row := range bad {
		if field := fmt.Sprintf("artifacts[%d]", len(good)+i); !strings.Contains(told[field], row[1]) {
			t.Errorf("%s %q: got %q, want %q", field, row[0], told[field], row[1])
		}
	}
	if len(told) != len(bad) {
		t.Errorf("got %d faults of %d patterns, want %d: %v", len(told), len(patterns), len(bad), told)
	}
	if told := faults(slices.Repeat([]string{"x"}, MaxArtifacts+1)); len(told) != 1 || !strings.Contains(told["artifacts"], "at most 100, got 101") {
		t.Errorf("too many: got %v", told)
	}
	if told := faults(slices.Repeat([]string{"x"}, MaxArtifacts)); len(told) != 0 {
		t.Errorf("as many as may be: got %v", told)
	}
}
