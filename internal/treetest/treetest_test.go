package treetest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/approval"
	"github.com/taskgrove/taskgrove/executors/mapper"
	"github.com/taskgrove/taskgrove/executors/sleep"
	"github.com/taskgrove/taskgrove/executors/subtree"
	"github.com/taskgrove/taskgrove/executors/wait"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/internal/treetest"
)

// described are executors that have schemas, and one that has a timeout of its own.
func described(yield func(executors.Description) bool) {
	for _, e := range []executors.Executor{mapper.New(), subtree.New(), wait.New(), approval.New(), sleep.New()} {
		if !yield(e.Describe()) {
			return
		}
	}
	if yield(executors.Description{ID: "strict_executor", Inputs: []byte(`{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}`)}) {
		yield(executors.Description{ID: "hasty_executor", Timeout: 5e9})
	}
}

// load reads a mocks file for a tree file whose tasks are given, or for a whole document.
func load(tree, mocks string) (*treetest.Suite, error) {
	if strings.HasPrefix(tree, "\n") {
		tree = "taskgrove: 1\nname: tree\ntasks:" + tree
	}
	var known dag.Known
	for d := range described {
		known.Add(d.ID, d.Type)
	}
	return treetest.Load("mocks.yaml", []byte(mocks), treetest.Options{Executors: known, Described: described, Tree: func(args *treefile.Arguments) (*treefile.File, error) {
		return treefile.Read("-", treefile.Options{Stdin: strings.NewReader(tree), Arguments: args, Executors: known})
	}})
}

// play runs a tree by mocks, which are those of one case.
func play(t *testing.T, tree, mocks string) *treetest.CaseReport {
	t.Helper()
	s, err := load(tree, "taskgrove: 1\n"+mocks)
	if err != nil {
		t.Fatal(err)
	}
	return s.Run().Cases[0]
}

// TestOutcomes has a small tree for each way in which tasks of it end, and what the mocks expect of it.
func TestOutcomes(t *testing.T) {
	const chain = `
  - {name: a, executor: work}
  - {name: b, executor: work, needs: [a], inputs: {text: "{{deps.a.result.n}} of {{task.name}}", raw: "{{deps.a.result}}"}}
`
	for _, tt := range []struct{ fact, tree, mocks string }{
		{"values come from results", chain, `
mocks: {a: {result: {n: 7}}, b: {inputs: {text: 7 of b}, result: [1, 2]}}
expect: {tasks: {b: {outcome: success, attempts: 1, inputs: {raw: {n: 7}}, result: [1, 2], started: 1, ended: 2}}, order: [a, b], within: 2}`},
		{"a failure blocks", chain, `
mocks: {a: {error: no luck}}
expect: {outcome: failed, tasks: {a: {outcome: failed, error: luck}, b: {outcome: blocked, blocked_by: a, attempts: 0}}}`},
		{"a missing value fails for good", chain, `
mocks: {a: {result: {m: 7}}}
expect: {outcome: failed, tasks: {b: {outcome: failed, error: template.missing_key, attempts: 1}}}`},
		{"retries wait longer each time", `
  - {name: a, executor: work, retry: {max_attempts: 4, initial_delay: 10, backoff: exponential}}
`, `
mocks: {a: [{attempt: [1, 2, 3], error: busy}, {result: 1}]}
expect: {tasks: {a: {outcome: success, attempts: 4, started: 0, ended: 74}}}`},
		{"kinds decide about retries", `
  - {name: a, executor: work, allow_failure: true, retry: {max_attempts: 4, no_retry_on: [broken]}}
  - {name: b, executor: work, allow_failure: true, retry: {max_attempts: 4, initial_delay: 1}}
  - {name: c, executor: work, allow_failure: true, retry: {max_attempts: 2, initial_delay: 1}}
`, `
mocks: {a: {error: x, kind: broken}, b: {error: x, permanent: true}, c: {error: x, retry_after: 30}}
expect: {tasks: {a: {attempts: 1}, b: {attempts: 1}, c: {attempts: 2, outcome: failed, ended: 33}}}`},
		{"timeouts", `
  - {name: a, executor: work, timeout: 60, retry: {max_attempts: 2, initial_delay: 1}}
  - {name: b, executor: hasty, allow_failure: true}
`, `
mocks: {a: [{attempt: 1, hangs: true}, {takes: 59}], b: {takes: 5}}
expect: {tasks: {a: {outcome: success, attempts: 2, ended: 120}, b: {outcome: failed, error: "timed out after 5s", ended: 5}}}`},
		{"handlers", `
  - {name: a, executor: work, allow_failure: true}
  - {name: caught, executor: work, needs: [{task: a, accept: [failed]}], inputs: {why: "{{deps.a.error}}"}}
  - {name: finally, executor: work, needs: [{task: a, accept: any}]}
  - {name: after, executor: work, needs: [{task: a, accept: [success], otherwise: skip}]}
`, `
mocks: {a: {error: no luck}, caught: {}, finally: {}}
expect: {tasks: {caught: {outcome: success, inputs: {why: no luck}}, finally: success, after: {outcome: skipped, reason: dependency_failed}}}`},
		{"conditions and gates", `
  - {name: a, executor: work}
  - {name: b, executor: work, needs: [a], when: 'deps["a"].result.n > 5'}
  - {name: gate, needs: [a], when: 'deps["a"].result.n > 50'}
  - {name: c, executor: work, needs: [gate]}
  - {name: d, executor: work, needs: [a], when: 'deps["a"].result.m > 5', allow_failure: true}
`, `
mocks: {a: {result: {n: 7}}, b: {}}
expect: {tasks: {b: success, gate: {outcome: skipped, reason: when_false}, c: {outcome: skipped, attempts: 0}, d: {outcome: failed, error: when_error, attempts: 0}}}`},
		{"an executor skips", chain, `
mocks: {a: {skip: no_files, result: {n: 1}}, b: {}}
expect: {outcome: failed, tasks: {a: {outcome: skipped, reason: no_files, result: {n: 1}}, b: failed}}`},
		{"a night passes at once", `
  - {name: a, executor: work, not_before: "2026-11-29T06:00:00Z"}
  - {name: b, executor: sleep, needs: [a], inputs: {seconds: 3600, durable: true}}
  - {name: c, executor: sleep, needs: [b], inputs: {seconds: 60}}
`, `
start: "2026-11-28T22:00:00Z"
mocks: {a: {}}
expect: {tasks: {a: {started: 8h}, b: {result: {slept_seconds: 3600}, ended: 9h1s}, c: {ended: 9h1m1s}}}`},
		{"a lost worker counts against no policy", `
  - {name: a, executor: work}
  - {name: b, executor: work, on_lost: fail, allow_failure: true}
  - {name: c, executor: work, allow_failure: true}
`, `
mocks: {a: [{attempt: 1, lost: true}, {}], b: {lost: true}, c: {lost: true}}
expect: {tasks: {a: {outcome: success, attempts: 2}, b: {outcome: failed, attempts: 1}, c: {outcome: failed, attempts: 3, error: 3 times}}}`},
		{"a task repeats", `
  - {name: a, executor: work, repeat: {until: result.done, max: 5, delay: 10}}
  - {name: b, executor: work, repeat: {until: "false", max: 2, delay: 1}}
`, `
mocks: {a: [{attempt: 3, result: {done: true}}, {result: {done: false}}], b: {result: {n: 1}}}
expect: {tasks: {a: {outcome: success, attempts: 3, ended: 23}, b: {attempts: 2, result: {repeat_exhausted: true}}}}`},
		{"outputs", `
  - {name: a, executor: work, outputs: {n: "{{result.n}}", s: "{{result.n}} of {{task.name}}"}}
  - {name: b, executor: work, needs: [a], inputs: {n: "{{deps.a.outputs.n}}"}}
`, `
mocks: {a: {result: {n: 4}}, b: {}}
expect: {tasks: {a: {outputs: {n: 4, s: 4 of a}}, b: {inputs: {n: 4}}}}`},
		{"signals", `
  - {name: a, executor: wait, inputs: {signal: paid, timeout: 3600, schema: {type: object, required: [order]}}}
  - {name: b, executor: wait, allow_failure: true, inputs: {signal: never, timeout: 60}}
  - {name: c, executor: wait, inputs: {signal: never, timeout: 60, on_timeout: {n: 1}}}
  - {name: d, executor: wait, inputs: {signal: never, timeout: 60, on_timeout: skip}}
`, `
mocks: {a: {signal: {order: 7}, takes: 30m}}
expect: {tasks: {a: {result: {order: 7}, ended: 30m}, b: {outcome: failed, error: 'no signal "never" came'}, c: {result: {n: 1}}, d: {outcome: skipped, reason: timeout}}}`},
		{"approvals", `
  - {name: a, executor: approval, inputs: {message: "Go on?"}}
  - {name: b, executor: approval, inputs: {message: "And b?", on_reject: skip}}
  - {name: c, executor: approval, allow_failure: true, inputs: {message: "And c?"}}
  - {name: d, executor: approval, inputs: {message: "And d?", timeout: 86400, on_timeout: {choice: approve}}}
`, `
mocks: {a: {choice: approve, by: ann, comment: fine, takes: 2h}, b: {choice: reject}, c: {choice: reject, comment: no}}
expect: {tasks: {a: {result: {choice: approve, by: ann, comment: fine}}, b: {outcome: skipped, reason: rejected}, c: {outcome: failed, error: "rejected by tester: no"}, d: {result: {by: timeout}, ended: 24h}}}`},
		{"a map with a window", `
  - {name: list, executor: work}
  - name: each
    executor: map
    needs: [list]
    inputs: {items: "deps.list.result.files", window: 2, task: {executor: work, inputs: {file: "{{item}}", n: "{{index}}"}}}
  - {name: sum, executor: work, needs: [each], inputs: {all: "{{deps.each.result}}"}}
`, `
mocks:
  list: {result: {files: [a, b, c]}}
  "each[1]": {result: two, takes: 10}
  "each[*]": {result: other}
  sum: {}
expect:
  tasks: {"each[*]": {count: 3, outcome: success}, "each[2]": {inputs: {file: c, n: 2}, started: 2}, sum: {inputs: {all: [other, two, other]}, started: 11}}
  order: [list, "each[*]", sum]`},
		{"a map that stops at a failure", `
  - name: each
    executor: map
    inputs: {items: [1, 2, 3], window: 1, stop_on_failure: true, task: {name: "item {{item}}", executor: work}}
`, `
mocks: {item 1: {}, item 2: {error: bad}}
expect: {outcome: failed, tasks: {item *: {count: 2}, each: {outcome: failed, error: "task 'item 2'"}}}`},
		{"a map of small trees", `
  - name: each
    executor: map
    inputs:
      items: [{city: Oslo}, {city: Rome}]
      collect: map
      tasks:
        - {name: fetch, executor: work, inputs: {city: "{{item.city}}"}}
        - {name: store, executor: work, needs: [fetch], inputs: {city: "{{item.city}}"}}
`, `
mocks: {fetch: {}, store: [{inputs: {city: Oslo}, result: 1}, {inputs: {city: Rome}, result: 2}]}
expect: {tasks: {each: {result: {"0.store": 1, "1.store": 2}}, store: {count: 2}}, order: [fetch, store]}`},
		{"an executor finds tasks", `
  - {name: a, executor: work}
`, `
mocks:
  a: {expand: {collect: map, tasks: [{id: x, name: x, schemas: {method: work}}, {id: y, name: y, schemas: {method: work}, dependencies: [x]}]}}
  x: {result: 1}
  y: {result: 2}
expect: {tasks: {a: {result: {x: 1, y: 2}}, x: success}, order: [x, y]}`},
		{"a tree within a tree", `
  - name: nightly
    executor: subtree
    inputs: {tree: {name: inner, tasks: [{name: fetch, executor: work}, {name: clean, executor: work, needs: [fetch]}]}}
  - {name: fetch, executor: work, needs: [nightly]}
`, `
mocks: {nightly/fetch: {result: 1}, clean: {}, fetch: {result: 2}}
expect: {tasks: {nightly: success, nightly/fetch: {result: 1}, fetch: {result: 2}}, order: [clean, fetch]}`},
		{"a tree file within a document", `[{"name": "nightly", "schemas": {"method": "subtree_executor"}, "inputs": {"tree": {"taskgrove": 1, "name": "inner", "tasks": [{"name": "fetch", "executor": "work"}, {"name": "clean", "executor": "work", "needs": ["fetch"]}]}}}]`, `
mocks: {fetch: {}, nightly/clean: {}}
expect: {order: [fetch, clean]}`},
		{"a tree within a tree fails", `
  - name: nightly
    executor: subtree
    inputs: {tree: {name: inner, tasks: [{name: clean, executor: work}]}}
`, `
mocks: {clean: {error: no luck}}
expect: {outcome: failed, tasks: {nightly: {outcome: failed, error: no luck}}}`},
		{"a stored tree is mocked", `
  - {name: nightly, executor: subtree, inputs: {copy_of: stored}}
`, `
mocks: {nightly: {result: {n: 1}}}
expect: {tasks: {nightly: {result: {n: 1}}}}`},
		{"cancelling a task", `
  - {name: a, executor: work}
  - {name: b, executor: work, needs: [{task: a, accept: [cancelled]}]}
`, `
mocks: {a: {takes: 60}, b: {}}
events: [{at: 30, cancel: a}]
expect: {outcome: cancelled, tasks: {a: {outcome: cancelled, ended: 30, error: by a user}, b: {outcome: success, started: 30}}}`},
		{"cancelling the tree goes down", `
  - name: nightly
    executor: subtree
    inputs: {tree: {name: inner, tasks: [{name: clean, executor: work}]}}
  - name: each
    executor: map
    inputs: {items: [1, 2], task: {executor: work}}
  - {name: never, executor: work, needs: [nightly]}
`, `
default: {hangs: true}
events: [{at: 30, cancel: tree}]
expect: {outcome: cancelled, tasks: {nightly: cancelled, clean: {outcome: cancelled, ended: 30}, "each[*]": cancelled, never: {outcome: cancelled, attempts: 0}}}`},
		{"a retry that is cancelled with its tree", `
  - {name: a, executor: work, retry: {max_attempts: 2, initial_delay: 60, max_delay: 60}}
`, `
mocks: {a: {error: busy}}
events: [{at: 30, cancel: tree}]
expect: {outcome: cancelled, tasks: {a: {outcome: cancelled, attempts: 1, error: by a user}}}`},
		{"the tree's own timeout", `{"tasks": [{"name": "a", "tree_timeout": 90, "schemas": {"method": "work"}}]}`, `
mocks: {a: {hangs: true}}
expect: {outcome: cancelled, tasks: {a: {outcome: cancelled, ended: 90, error: Tree timeout}}}`},
		{"skipping a task", `
  - {name: a, executor: work}
  - {name: b, executor: work, needs: [a]}
`, `
mocks: {a: {takes: 60}}
events: [{at: 1, skip: b}]
expect: {tasks: {b: {outcome: skipped, reason: user}}}`},
		{"groups and folds", `
  - name: load
    tasks: [{name: users, executor: work, allow_failure: true}, {name: orders, executor: work}]
  - {name: publish, executor: work, needs: [load]}
`, `
default: {}
mocks: {users: {error: x}}
expect: {tasks: {load: success, publish: success}, order: [[users, publish], [orders, publish]]}`},
		{"inputs are checked as in a cluster", `
  - {name: a, executor: work}
  - {name: b, executor: strict, needs: [a], inputs: {n: "{{deps.a.result}}"}}
`, `
mocks: {a: {result: text}, b: {}}
expect: {outcome: failed, tasks: {b: {outcome: failed, error: inputs.n}}}`},
		{"tasks that had ended before", `[{"id": "r", "name": "r", "fold": true, "dependencies": [{"id": "b"}]}, {"id": "a", "name": "a", "parent_id": "r", "schemas": {"method": "work"}, "outcome": "success", "result": {"n": 1}},
  {"id": "b", "name": "b", "parent_id": "r", "schemas": {"method": "work"}, "dependencies": [{"id": "a"}]}]`, `
mocks: {b: {}}
expect: {tasks: {a: {attempts: 0, result: {n: 1}}, b: {inputs: {a: {n: 1}}}}}`},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			t.Parallel()
			c := play(t, tt.tree, tt.mocks)
			for _, f := range c.Failures {
				t.Error(f)
			}
			if t.Failed() {
				for _, s := range c.Steps {
					t.Logf("%8.3f %s: %s", s.Seconds, s.Task, s.Text)
				}
			}
		})
	}
}

// TestFailuresAreTold: expectations that are not met say so, each by itself, where they stand; and so do mocks that leave a case open.
func TestFailuresAreTold(t *testing.T) {
	const two = `
  - {name: a, executor: work}
  - {name: b, executor: work}
`
	for _, tt := range []struct{ fact, tree, mocks, status, want string }{
		{"the outcome", two, "default: {error: x}", treetest.Failed, "mocks.yaml:1:1: outcome: want completed, got failed: a: x"},
		{"of a task", two, "default: {}\nexpect:\n  tasks: {a: failed}", treetest.Failed, "mocks.yaml:4:11: a: want failed, got success"},
		{"attempts", two, "default: {}\nexpect: {tasks: {a: {attempts: 2}}}", treetest.Failed, "mocks.yaml:3:22: a: want 2 attempts, got 1"},
		{"inputs", two, "default: {}\nexpect: {tasks: {a: {inputs: {n: 1}}}}", treetest.Failed, "a: inputs.n: want 1, got null"},
		{"a result", two, "default: {result: [1]}\nexpect: {tasks: {a: {result: [1.0]}, b: {result: [2]}}}", treetest.Failed, "b: result[0]: want 2, got 1"},
		{"an error", two, "default: {error: x}\nexpect: {outcome: failed, tasks: {a: {error: y}}}", treetest.Failed, `a: error: want "y" in it, got "x"`},
		{"a reason", two, "default: {skip: x}\nexpect: {tasks: {a: {reason: y}}}", treetest.Failed, `a: reason: want "y", got "x"`},
		{"a time", two, "default: {}\nexpect: {tasks: {a: {started: 1, ended: 1}}}", treetest.Failed, "a: started: want 1s, got 0s"},
		{"the whole time", two, "default: {takes: 3}\nexpect: {within: 2}", treetest.Failed, "within: want at most 2s, took 3s"},
		{"a count", two, "default: {}\nexpect: {tasks: {'*': {count: 2}}}", treetest.Failed, "*: want 2 tasks, got 3"},
		{"blocked", two, "default: {}\nexpect: {tasks: {a: {blocked_by: b}}}", treetest.Failed, "a: want it blocked by b, and it is completed"},
		{"order", two, "default: {}\nexpect: {order: [a, b]}", treetest.Failed, "order: b starts 0s after the start, and a ends 1s after it"},
		{"order by chance", `
  - {name: a, executor: work}
  - {name: b, executor: work}
  - {name: c, executor: work, needs: [a]}
`, "default: {}\nexpect: {order: [b, c]}", treetest.Failed, "order: c starts when b ends, 1s after the start, and does not wait for it"},
		{"no mock", two, "mocks: {b: {}}", treetest.Errors, "a runs work and has no mock"},
		{"no mock fits", two, "mocks: {b: {attempt: 2}, a: {}}", treetest.Errors, "b: none of its mocks fits attempt 1, with the inputs {}"},
		{"a signal that never comes", `
  - {name: a, executor: wait, inputs: {signal: paid}}
`, "", treetest.Errors, `the tree never ends: a waits for the signal "paid", which no mock sends`},
		{"an approval that never comes", `
  - {name: a, executor: approval, inputs: {message: "?"}}
`, "", treetest.Errors, "a waits for an approval, and no mock has a choice"},
		{"an attempt that hangs", two, "mocks: {a: {hangs: true}, b: {}}", treetest.Errors, "the tree never ends: a hangs in attempt 1, and has no timeout"},
		{"a signal that breaks the schema", `
  - {name: a, executor: wait, inputs: {signal: paid, schema: {type: object, required: [order]}}}
`, "mocks: {a: {signal: {}}}", treetest.Errors, "the signal for a is not what its schema asks for"},
		{"a choice that there is not", `
  - {name: a, executor: approval, inputs: {message: "?"}}
`, "mocks: {a: {choice: maybe}}", treetest.Errors, `"maybe" is none of the choices of a: approve, reject`},
		{"a signal for who waits for none", two, "default: {}\nmocks: {a: {signal: 1}}", treetest.Errors, "a runs work, which waits for nothing that a mock can answer"},
		{"a signal for an approval", `
  - {name: a, executor: approval, inputs: {message: "?"}}
`, "mocks: {a: {signal: 1}}", treetest.Errors, "a runs approval_executor, which does not wait for a signal"},
		{"an event that comes too late", two, "default: {takes: 9}\nevents: [{at: 3, skip: a}]", treetest.Errors, "a can't be skipped 3s after the start: it is running"},
		{"an event after the end", two, "default: {}\nevents: [{at: 3, cancel: a}, {at: 0, skip: a}]", treetest.Errors, "1 of 2 events come after the end of the tree, 1s after its start"},
		{"a tree that is not stored", `
  - {name: a, executor: subtree, inputs: {copy_of: stored}}
`, "", treetest.Errors, `a copies the tree "stored", and no tree is stored here: it needs a mock`},
		{"a flow that is not stored", `
  - {name: a, executor: subtree, inputs: {flow: stored}}
`, "", treetest.Errors, `a runs the flow "stored", and no flow is stored here: it needs a mock`},
		{"time without end", `
  - {name: a, executor: work, repeat: {until: "false", max: 100000, delay: 86400}}
`, "default: {}", treetest.Errors, "it would take over 10 years"},
		{"attempts without end", `
  - {name: a, executor: work, repeat: {until: "false", max: 100000, delay: 0}}
  - {name: b, executor: work, repeat: {until: "false", max: 100000, delay: 0}}
`, "default: {takes: 0}", treetest.Errors, "it takes over 100000 attempts"},
		{"tasks without end", `{"tasks": [{"name": "a", "schemas": {"method": "map_executor"}, "inputs": {"items": "inputs.list", "list": [` + strings.TrimSuffix(strings.Repeat("1,", 100_001), ",") + `], "task": {"schemas": {"method": "work"}}}}]}`,
			"default: {}", treetest.Errors, "a case may have 100000 tasks"},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			t.Parallel()
			c := play(t, tt.tree, tt.mocks)
			var all []string
			for _, f := range c.Failures {
				all = append(all, f.String())
			}
			if text := strings.Join(all, "\n"); c.Status != tt.status || !strings.Contains(text, tt.want) {
				t.Errorf("%s: got\n%s\nwant %s: %s", c.Status, text, tt.status, tt.want)
			}
		})
	}
}

// TestLongFailuresAreCut: of a case that failed a part of what happened is told, unless all is asked for.
func TestLongFailuresAreCut(t *testing.T) {
	s, err := load(`
  - {name: each, executor: map, inputs: {items: [`+strings.TrimSuffix(strings.Repeat("1,", 100), ",")+`], task: {executor: work}}}
`, "taskgrove: 1\ndefault: {}\nexpect: {outcome: failed}\n")
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run()
	for steps, want := range map[bool]int{false: 50 + 4, true: 203 + 3} { // a line for the case, its failure, what is left out, and the sum
		var out strings.Builder
		r.Text(&out, steps)
		if n := strings.Count(out.String(), "\n"); n != want || strings.Contains(out.String(), "and 153 more, which --steps tells") == steps {
			t.Errorf("steps %v: %d lines, want %d:\n%s", steps, n, want, out.String())
		}
	}
}

// TestFaultsOfTheFile: a file with many faults gets all of them, with line, column and the nearest right word.
func TestFaultsOfTheFile(t *testing.T) {
	_, err := load(`
  - {name: fetch, executor: work}
  - {name: each, executor: map, inputs: {items: [1], task: {name: "item {{item}}", executor: work}}}
`, `taskgrove: 2
mock: {}
defualt: {}
start: yesterday
events: []
mocks:
  fetsh: {result: 1}
  item 7: {atempt: 1}
  tree: {}
  fetch:
    - {attempt: 0, error: 5}
    - {error: x, skip: y, result: 1, takes: -1}
    - {kind: "a b"}
    - 7
cases:
  - {name: a, expect: {outcome: done, tasks: {fetch: succes, ech: {outcome: failed}}, order: [fetch]}}
  - {name: a, mocks: {fetch: {hangs: true, takes: 3}}, events: [{cancel: fetch, skip: fetch}, {at: 1h, cancel: ""}]}
  - {parameters: {day: 1}}
`)
	bad, ok := errors.AsType[*treefile.Error](err)
	if !ok {
		t.Fatal(err)
	}
	want := []string{
		"mocks.yaml:1:1: taskgrove: must be 1",
		"mocks.yaml:2:1: mock: ", "did you mean mocks?",
		"mocks.yaml:3:1: defualt: ", "did you mean default?",
		"mocks.yaml:4:1: start: must be a time from 1971",
		"mocks.yaml:5:1: events: stands in a case",
		"mocks.yaml:7:3: the tree has no task fetsh; did you mean fetch?",
		"mocks.yaml:9:3: tree has no executor, so that it runs nothing that a mock could stand for",
		"mocks.yaml:8:12: mocks.item 7.atempt: ", "did you mean attempt?",
		"mocks.yaml:11:8: mocks.fetch[0].attempt: must be a whole number from 1 on",
		"mocks.yaml:11:20: mocks.fetch[0].error: must be text",
		"mocks.yaml:12:7: mocks.fetch[1]: an attempt ends in one way, and there are error, skip",
		"mocks.yaml:12:38: mocks.fetch[1].takes: must be from 0 to 10 years",
		"mocks.yaml:13:8: mocks.fetch[2].kind: must be a word",
		"mocks.yaml:13:8: mocks.fetch[2].kind: is of error, which is not there",
		"mocks.yaml:14:7: mocks.fetch[3]: must be an object",
		"cases[0].expect.outcome: must be completed, failed or cancelled",
		"cases[0].expect.tasks.fetch: must be success, skipped, failed, cancelled or blocked; did you mean success?",
		"the tree has no task ech; did you mean each?",
		"cases[0].expect.order: an order needs two tasks at least",
		"cases[1].name: names must differ",
		"cases[1].mocks.fetch.takes: an attempt that hangs takes as long as it may",
		"cases[1].events[0].at: is required", "cases[1].events[0]: must have cancel or skip",
		"cases[1].events[1].cancel: must not be empty",
		"cases[2].name: is required",
		"mocks.yaml:18:19: day: the file has no parameters",
	}
	for _, text := range want {
		if !strings.Contains(bad.Error(), text) {
			t.Errorf("not told: %s", text)
		}
	}
	if t.Failed() {
		t.Log(bad)
	}
}

// TestCasesAndParameters: what the file says holds for each case, unless the case says otherwise.
func TestCasesAndParameters(t *testing.T) {
	tree := "taskgrove: 1\nname: tree\nparameters: {day: {type: string, required: true}, n: {type: integer, default: 1}}\ntasks:\n  - {name: a, executor: work, inputs: {day: '{{parameters.day}}', n: '{{parameters.n}}'}}\n"
	s, err := load(tree, `
taskgrove: 1
parameters: {day: monday}
default: {}
start: 2026-01-01T00:00:00Z
mocks: {a: {result: of the file}}
cases:
  - {name: one, expect: {tasks: {a: {inputs: {day: monday, n: 1}, result: of the file}}}}
  - {name: two, parameters: {day: tuesday, n: 2}, mocks: {a: {inputs: {day: tuesday}, result: of the case}}, expect: {tasks: {a: {inputs: {day: tuesday, n: 2}, result: of the case}}}}
  - {name: three, mocks: {a: {inputs: {day: tuesday}, result: of the case}}, expect: {tasks: {a: {result: of the case}}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run()
	if r.Passed != 2 || r.Failed != 1 || r.Cases[2].Status != treetest.Failed {
		t.Errorf("%+v", r.Cases)
	}
	var text strings.Builder
	r.Text(&text, false)
	if got := text.String(); !strings.Contains(got, "ok    one (1s)") || !strings.Contains(got, "FAIL  three (1s)") || !strings.HasSuffix(got, "2 passed, 1 failed\n") {
		t.Error(got)
	}
	var junit strings.Builder
	if err := r.JUnit(&junit); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<testsuite name="mocks.yaml" tests="3" failures="1" errors="0">`, `<property name="virtual_seconds" value="1">`, `<failure message="a: result: want &#34;of the case&#34;, got &#34;of the file&#34;">`} {
		if !strings.Contains(junit.String(), want) {
			t.Errorf("JUnit has no %s:\n%s", want, junit.String())
		}
	}
}
