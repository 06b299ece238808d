package treetest_test

import (
	"errors"
	"io"
	"testing"

	"github.com/taskgrove/taskgrove/internal/treefile"
)

// FuzzMocks reads any text as a mocks file, and plays what can be read: it ends, and whatever it says can be reported.
func FuzzMocks(f *testing.F) {
	for _, text := range []string{
		"taskgrove: 1\ndefault: {}\nmocks: {go: {signal: 1}}\n",
		"taskgrove: 1\nmocks:\n  a: [{attempt: [1, 2], error: x, kind: y, retry_after: 1m}, {inputs: {n: 1}, result: {n: 1}, takes: 3}]\n  'each[*]': {skip: none}\n  go: {signal: {n: 1}}\nexpect: {outcome: failed, tasks: {a: {attempts: 3, started: 0}}, order: [a, b]}\n",
		"taskgrove: 1\nstart: 2026-01-01T00:00:00Z\ncases:\n- {name: x, default: {hangs: true}, events: [{at: 1h, cancel: tree}, {at: 1, skip: b}]}\n- {name: y, default: {lost: true}, mocks: {go: {choice: approve}}}\n",
		`{"taskgrove": 1, "mocks": {"a": {"expand": {"items": [1, 2], "each": {"schemas": {"method": "work"}}, "window": 1}}}, "default": {"result": null}}`,
		"taskgrove: 2\nmoks: 1\ncases: []\n",
		"taskgrove: 1\nmocks: {a: {expand: {tasks: [{name: a}]}}}\n",
	} {
		f.Add(text)
	}
	const tree = `
  - {name: a, executor: work, retry: {max_attempts: 3}, timeout: 3600}
  - {name: b, executor: work, needs: [a], inputs: {n: "{{deps.a.result.n}}"}, when: 'deps["a"].outcome != "skipped"'}
  - {name: each, executor: map, needs: [a], inputs: {items: [1, 2, 3], task: {executor: work}}}
  - {name: go, executor: wait, inputs: {signal: go, timeout: 60}}
`
	f.Fuzz(func(t *testing.T, text string) {
		s, err := load(tree, text)
		if err != nil {
			if bad, ok := errors.AsType[*treefile.Error](err); !ok || len(bad.Faults) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		r := s.Run()
		for _, c := range r.Cases {
			if (c.Status == "passed") != (len(c.Failures) == 0) {
				t.Errorf("%s: %+v", c.Status, c.Failures)
			}
		}
		r.Text(io.Discard, true)
		if err := r.JUnit(io.Discard); err != nil {
			t.Error(err)
		}
	})
}
