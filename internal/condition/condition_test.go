package condition

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/debug"
	"cel.dev/cel-go/parser"
)

// found is a scope in which "find" found three things and "check" failed.
func found() *Scope {
	return &Scope{
		Dependencies: []Dependency{
			{Ref: "find", ID: "7f1c", Name: "Find things", Outcome: "success", Status: "completed", Attempts: 1,
				Result: json.RawMessage(`{"count":3,"items":["a","b","c"],"price":7.0,"big":9007199254740993,"huge":18446744073709551615,"none":null,"deep":{"a":{"b":[1,2,{"c":true}]}}}`)},
			{Ref: "check", ID: "check", Name: "check", Outcome: "failed", Status: "failed", Error: "exit status 3", Attempts: 4},
			{ID: "odd-id", Name: "twin", Outcome: "skipped", Status: "completed", Result: json.RawMessage(`{"skipped":true,"reason":"when_false"}`)},
			{ID: "other", Name: "twin", Outcome: "cancelled", Status: "cancelled"},
			{ID: "last", Name: "other", Outcome: "blocked", Status: "pending"}, // an id goes before a name
		},
		Inputs: json.RawMessage(`{"limit":5,"name":"nightly","on":true,"list":[1,2.5,"x",null]}`),
		Tree:   Tree{ID: "t-1", UserID: "ann"},
		Task:   Task{ID: "g-1", Name: "gate"},
	}
}

func TestVerdicts(t *testing.T) {
	for text, want := range map[string]any{
		`true`:                              true,
		`false`:                             false,
		`deps["find"].outcome == "success"`: true,
		`deps.find.outcome == "success" && deps.check.outcome == 'failed'`:             true,
		`deps["7f1c"].status == "completed"`:                                           true,
		`deps["Find things"].result.count > 2`:                                         true,
		`size(deps.find.result.items) == 3`:                                            true,
		`deps.find.result.items.exists(i, i == "b")`:                                   true,
		`deps.find.result.items.all(i, i.startsWith("a"))`:                             false,
		`"c" in deps.find.result.items`:                                                true,
		`"count" in deps.find.result`:                                                  true,
		`deps.find.result.items.map(i, i + "!") == ["a!", "b!", "c!"]`:                 true,
		`deps.find.result.items.filter(i, i != "a").size() == 2`:                       true,
		`deps.find.result.deep.a.b[2].c`:                                               true,
		`deps.find.result.deep == {"a": {"b": [1, 2, {"c": true}]}}`:                   true,
		`deps.find.result.deep != {"a": {"b": [1, 2, {"c": false}]}}`:                  true,
		`has(deps.find.result.count) && !has(deps.find.result.sum)`:                    true,
		`has(deps.check.result.count)`:                                                 false,
		`deps.check.result == null && deps.check.error.contains("status 3")`:           true,
		`deps.find.error == null`:                                                      true,
		`deps.check.attempts == 4`:                                                     true,
		`deps["odd-id"].result.reason == "when_false"`:                                 true,
		`deps.all(d, deps[d].outcome.size() > 0)`:                                      true,
		`deps.size() == 5 && deps.filter(d, deps[d].outcome == "failed") == ["check"]`: true,
		`deps.map(d, d) == ["check", "find", "last", "odd-id", "other"]`:               true,
		`"find" in deps && "7f1c" in deps && !("nobody" in deps)`:                      true,
		`inputs.limit == 5 && inputs.name == "nightly"`:                                true,
		`inputs.limit == 5.0 && inputs.limit < 5.5 && 5u == inputs.limit`:              true,
		`deps.find.result.price == 7 && type(deps.find.result.price) == double`:        true,
		`type(deps.find.result.count) == int`:                                          true,
		`deps.find.result.big == 9007199254740993`:                                     true,
		`deps.find.result.big == 9007199254740992`:                                     false,
		`deps.find.result.huge == 18446744073709551615u`:                               true,
		`deps.find.result.count + 1 == 4`:                                              true,
		`inputs.list[1] * 2.0 == 5.0 && inputs.list[3] == null`:                        true,
		`tree.id == "t-1" && tree.user_id == "ann"`:                                    true,
		`task.id == "g-1" && task.name == "gate"`:                                      true,
		`inputs.on ? deps.find.result.count == 3 : false`:                              true,
		`inputs.name.matches("^night[a-z]+$") && matches(inputs.name, "ly")`:           true,
		`timestamp("2026-01-02T03:04:05Z") > timestamp("2026-01-01T00:00:00Z")`:        true,
		`duration("90m") > duration("1h")`:                                             true,
		`{"b": 2, "a": 1}.map(k, k) == ["a", "b"]`:                                     true,
		"deps.`odd-id`.outcome == 'skipped'":                                           true,
		`inputs.on`:                                                                    true,
		`deps.find.result.missing == 1`:                                                `line 1, column 17: there is no key "missing"`,
		`deps.find.result.missing == 1 || true`:                                        true,
		"true &&\n  deps.find.result.missing > 1":                                      `line 2, column 19: there is no key "missing"`,
		`inputs.name`:                                      `line 1, column 7: the expression must give true or false, and gave string`,
		`deps.find.result.price + 1 == 8`:                  `line 1, column 24: no such overload`,
		`deps["no" + "body"].outcome == "failed"`:          `line 1, column 20: there is no key "nobody"`,
		`deps["tw" + "in"].outcome == "failed"`:            `line 1, column 5: several dependencies have the name "twin"`,
		`deps.find.result.items[3] == "d"`:                 `line 1, column 23: index out of bounds: 3`,
		`deps.find.result.count / 0 == 1`:                  `line 1, column 24: division by zero`,
		`9223372036854775807 + deps.find.result.count > 0`: `line 1, column 21: integer overflow`,
		`inputs.list.all(a, inputs.list.all(b, inputs.list.all(c, inputs.list.all(d, inputs.list.all(e, inputs.list.all(f, inputs.list.all(g, inputs.list.all(h, inputs.list.all(i, inputs.list.all(j, true))))))))))`: "it takes more than 1000000 steps",
		`[[1]].map(l, [l,l,l,l,l,l,l,l,l,l]).map(l, [l,l,l,l,l,l,l,l,l,l]).map(l, [l,l,l,l,l,l,l,l,l,l]).map(l, [l,l,l,l,l,l,l,l,l,l]).map(l, [l,l,l,l,l,l,l,l,l,l]).map(l, [l,l,l,l,l,l,l,l,l,l]).exists(x, x == x)`:  "it takes more than 1000000 steps",
		`[[1]` + strings.Repeat(`+[1]`, 20) + `]` + strings.Repeat(`.map(l, l+l)`, 60) + `.exists(l, 2 in l)`:                                                                                                          "it takes more than 1000000 steps",
		`["x"]` + strings.Repeat(`.map(s, s+s)`, 60) + `.exists(s, s == "")`:                                                                                                                                           "it takes more than 1000000 steps",
	} {
		p, err := Compile(When, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for range 2 {
			got, err := p.Eval(found())
			switch want := want.(type) {
			case bool:
				if err != nil || got != want {
					t.Errorf("%s: got %t, %v", text, got, err)
				}
			case string:
				if err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("%s: got %t, %v, want %s", text, got, err, want)
				}
			}
		}
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		``:                                 "line 1, column 1: the expression is empty",
		`  // nothing`:                     "line 1, column 13: the expression ends where a value is expected",
		strings.Repeat(" ", MaxText) + `1`: "line 1, column 1: the expression has 4097 bytes, at most 4096 are allowed",
		"\xff":                             "line 1, column 1: the expression is not UTF-8",
		strings.Repeat("(", 40) + `true` + strings.Repeat(")", 40): "line 1, column 33: the expression is nested over 32 deep",
		`true` + strings.Repeat("&&true", 600):                     "the expression has over 1000 parts",
		`deps.a.outcome = "failed"`:                                `line 1, column 16: unexpected character '='`,
		`deps.a.outcome == failed`:                                 `line 1, column 19: undeclared reference to 'failed'`,
		`deps.a.outcome == "ok"`:                                   `line 1, column 19: no outcome is "ok": it is one of success, skipped, failed, cancelled, blocked`,
		`deps.a.status in ["done"]`:                                `line 1, column 19: no status is "done": it is one of completed, failed, cancelled, pending`,
		`deps.a.outcom == "failed"`:                                `line 1, column 7: undefined field 'outcom'`,
		`deps.a`:                                                   `line 1, column 1: the expression must give true or false, and gives tasks.Dependency`,
		`1 + "a"`:                                                  `line 1, column 3: found no matching overload for '+' applied to '(int, string)'`,
		`deps.a.attempts`:                                          `line 1, column 1: the expression must give true or false, and gives int`,
		`now() > timestamp("2026-01-01T00:00:00Z")`:                `line 1, column 4: undeclared reference to 'now'`,
		`timestamp(inputs.t).getHours("Europe/Berlin") == 3`:       `found no matching overload for 'getHours' applied to 'timestamp.(string)'`,
		`inputs.name.matches(inputs.pattern)`:                      `line 1, column 27: the pattern of matches must be written out`,
		`inputs.name.matches("(")`:                                 "line 1, column 21: the pattern is none: error parsing regexp: missing closing ): `(`",
		`inputs.list.all(deps, true)`:                              `line 1, column 17: "deps" means something else: call the variable of all otherwise`,
		`inputs.list.map(1, true) == []`:                           `line 1, column 17: map: argument is not an identifier`,
		`b"x" == b"x"`:                                             `line 1, column 1: there are no literals of bytes here`,
		`inputs.?x == 1`:                                           `line 1, column 8: there are no optional fields here: has(…) tells whether a field is there`,
		`"a`:                                                       `line 1, column 1: a string that does not end`,
		`"a\q"`:                                                    `line 1, column 1: unknown escape \q in a string`,
		`"a\xg1"`:                                                  `line 1, column 1: a string has a wrong escape \x`,
		`99999999999999999999 == 1`:                                `line 1, column 1: the number 99999999999999999999 is too large`,
		`if == 1`:                                                  `line 1, column 1: "if" is a word that CEL keeps for itself`,
		`Message{a: 1}`:                                            `line 1, column 8: unexpected "{" where an operator or the end is expected`,
		`(true`:                                                    `line 1, column 6: the expression ends where ")" is expected`,
		`attempt == 1`:                                             `line 1, column 1: undeclared reference to 'attempt'`,
		"foo == 1 ||\n bar == 2":                                   "line 1, column 1: undeclared reference to 'foo'; line 2, column 2: undeclared reference to 'bar'",
	} {
		_, err := Compile(When, text)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %s", text, err, want)
		}
	}
}

func TestNamesOfDependencies(t *testing.T) {
	for text, want := range map[string]string{
		`deps.find.outcome == "success" && deps["Find things"].attempts == 1 && deps["odd-id"].outcome == "skipped"`: "",
		`has(deps.nobody.result.x) || deps["none"].outcome == "failed"`:                                              `line 1, column 9: the task does not depend on "nobody"; line 1, column 35: the task does not depend on "none"`,
		`deps.twin.outcome == "failed"`:                              `line 1, column 5: several dependencies have the name "twin": call the one that is meant by its id`,
		`deps[inputs.which].outcome == "failed" && "nobody" in deps`: "",
		`deps.other.outcome == "cancelled"`:                          "",
	} {
		err := Check(When, text, found().Dependencies)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestNeeds(t *testing.T) {
	for text, want := range map[string]string{
		`deps.a.outcome == "failed"`:                       `{"Inputs":false,"Errors":false,"Results":false,"Of":null}`,
		`deps.a.result.x && deps["b"].error == "x"`:        `{"Inputs":false,"Errors":true,"Results":true,"Of":["a"]}`,
		`deps.all(d, deps[d].result.x) && inputs.y`:        `{"Inputs":true,"Errors":false,"Results":true,"Of":null}`,
		`deps.all(d, deps[d].result.x) && deps.a.result.y`: `{"Inputs":false,"Errors":false,"Results":true,"Of":null}`,
		`inputs.result == 1`:                               `{"Inputs":true,"Errors":false,"Results":false,"Of":null}`,
	} {
		p, err := Compile(When, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, _ := json.Marshal(p.Needs()); string(got) != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestUntil(t *testing.T) {
	scope := &Scope{Result: json.RawMessage(`{"status":"ready","n":2}`), Attempt: 3}
	for text, want := range map[string]any{
		`result.status == "ready"`:        true,
		`result.n > 2 || attempt > 3`:     false,
		`attempt >= 3`:                    true,
		`result.done`:                     `line 1, column 7: there is no key "done"`,
		`has(result.done) && result.done`: false,
	} {
		p, err := Compile(Until, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := p.Eval(scope)
		if err != nil && err.Error() != want || err == nil && got != want {
			t.Errorf("%s: got %t, %v, want %v", text, got, err, want)
		}
	}
	if _, err := Compile(Until, `deps.a.outcome == "failed"`); err == nil {
		t.Error("a loop must not see dependencies")
	}
}

func TestBoundOfScopes(t *testing.T) {
	p, err := Compile(When, `deps.a.result.size() > 0`)
	if err != nil {
		t.Fatal(err)
	}
	half := json.RawMessage(`"` + strings.Repeat("x", MaxScope/2-2) + `"`)
	scope := &Scope{Dependencies: []Dependency{{ID: "a", Result: half}, {ID: "b", Result: half}}}
	if ok, err := p.Eval(scope); !ok || err != nil {
		t.Errorf("got %t, %v", ok, err)
	}
	scope.Dependencies[1].Error = "x"
	if _, err := p.Eval(scope); err == nil || err.Error() != "line 1, column 1: the values to look at have 1048577 bytes, at most 1048576 are allowed" {
		t.Errorf("got %v", err)
	}
	scope = &Scope{Dependencies: []Dependency{{ID: "a", Result: json.RawMessage(`{"x":`)}}}
	if _, err := p.Eval(scope); err == nil || !strings.HasSuffix(err.Error(), "a value is no JSON") {
		t.Errorf("got %v", err)
	}
}

// Each evaluation counts for itself, and errors that CEL shares among all keep their places.
func TestManyAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for text, want := range map[string]string{
				`deps.find.result.count.startsWith("x")`:                                    `line 1, column 34: no such overload`,
				`true && deps.find.result.count.startsWith("x")`:                            `line 1, column 42: no such overload`,
				`deps.find.result.items.all(i, i != "d")`:                                   "",
				`[1,2,3,4,5,6,7,8,9].map(a, [1,2,3,4,5,6,7,8,9].map(b, a * b)).size() == 9`: "",
			} {
				p, err := Compile(When, text)
				if err != nil {
					t.Error(err)
					return
				}
				for range 50 {
					ok, err := p.Eval(found())
					if want == "" && !(ok && err == nil) || want != "" && (err == nil || err.Error() != want) {
						t.Errorf("%s: got %t, %v", text, ok, err)
					}
				}
			}
		})
	}
	all.Wait()
}

func TestProgramsAreRemembered(t *testing.T) {
	first, err := Compile(When, `deps.find.attempts == 1`)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Compile(When, `deps.find.attempts == 1`); again != first {
		t.Error("compiled twice")
	}
	for i := range 3 * cachedPrograms {
		if _, err := Compile(When, fmt.Sprintf("deps.find.attempts == %d", i+10)); err != nil {
			t.Fatal(err)
		}
		if again, _ := Compile(When, `deps.find.attempts == 1`); again != first {
			t.Fatal("what is in use was forgotten")
		}
	}
	if n := len(remembered.young) + len(remembered.old); n > 2*cachedPrograms {
		t.Errorf("%d are kept", n)
	}
}

// The longest work that the bounds allow ends soon.
func TestLongestWork(t *testing.T) {
	list := json.RawMessage(`{"l":[` + strings.Repeat("1,", 200_000) + `1],"s":"` + strings.Repeat("a", 500_000) + `"}`)
	for _, text := range []string{
		`inputs.l.exists(x, x == 2)`,
		`inputs.l.exists(x, x in inputs.l && false)`,
		`inputs.l.exists(x, inputs.l == inputs.l && false)`,
		`inputs.l.exists(x, inputs.s == inputs.s && false)`,
		`inputs.l.exists(x, inputs.s.matches("(a*)*b{1,500}$"))`,
		`inputs.l.exists(x, (inputs.s + inputs.s).contains("b"))`,
		`inputs.l.exists(x, (inputs.l + inputs.l)[0] == 2)`,
		`inputs.l.map(x, inputs.l).map(x, x.map(y, y)).size() == 1`,
	} {
		p, err := Compile(When, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		begun := time.Now()
		ok, err := p.Eval(&Scope{Inputs: list})
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s took %s: %t, %v", text, took, ok, err)
		} else {
			t.Logf("%s took %s: %t, %v", text, took, ok, err)
		}
	}
}

// Whatever is written, it's refused or evaluated, within bounds and alike each time; and it's read as CEL's own parser reads it.
func FuzzConditions(f *testing.F) {
	for _, seed := range []string{`deps.find.outcome == "success"`, `--1 < -2u ? !true : !!false || a[1,].b(c, d){}`, `"\u00e4\101" + r'\x' + """a
b""" in {1: 2, "x": [-1.5e3, .5, 0x1F,],}`, `inputs.list.map(x, x > 1, x*2).exists_one(y, has(y.a.b)) // end`, `.a.b(.c)[-1]%2-3*-4==-5.0`, `a?b:c?d:e`} {
		f.Add(seed)
	}
	reference, err := parser.NewParser(parser.Macros(parser.AllMacros...), parser.MaxRecursionDepth(200), parser.EnableHiddenAccumulatorName(true))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		late := time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("%q takes too long", text)) })
		defer late.Stop()
		compareParsers(t, reference, text)
		for _, kind := range []Kind{When, Until} {
			p, err := Compile(kind, text)
			if err != nil {
				if len(AsFaults(err)) == 0 {
					t.Fatalf("%q: %v has no place", text, err)
				}
				continue
			}
			_ = p.Unknown(found().Dependencies)
			first, err1 := p.Eval(found())
			second, err2 := p.Eval(found())
			if first != second || fmt.Sprint(err1) != fmt.Sprint(err2) {
				t.Fatalf("%q: %t %v, then %t %v", text, first, err1, second, err2)
			}
		}
	})
}

func compareParsers(t *testing.T, reference *parser.Parser, text string) {
	if !utf8.ValidString(text) || len(text) > MaxText {
		return
	}
	source := common.NewTextSource(text)
	ours, fault := parse(text, source)
	theirs, errs := reference.Parse(source)
	theirsFail := len(errs.GetErrors()) > 0
	switch {
	case fault != nil && theirsFail:
	case fault != nil:
		for _, meant := range []string{"literals of bytes", "nested over", "parts", "means something else", `"{" where`, "no optional"} {
			if strings.Contains(fault.Reason, meant) {
				return
			}
		}
		t.Fatalf("%q: refused here, not by CEL's parser: %v", text, fault)
	case theirsFail:
		t.Fatalf("%q: refused by CEL's parser, not here: %s", text, errs.ToDisplayString())
	default:
		a, err1 := parser.Unparse(ours.Expr(), ours.SourceInfo())
		b, err2 := parser.Unparse(theirs.Expr(), theirs.SourceInfo())
		if a != b || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q: read as %s (%v), by CEL's parser as %s (%v)", text, a, err1, b, err2)
		}
		if a, b := debug.ToDebugString(ours.Expr()), debug.ToDebugString(theirs.Expr()); a != b {
			t.Fatalf("%q: read as %s, by CEL's parser as %s", text, a, b)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, faults := compile(When, `deps.find.outcome == "success" && size(deps.find.result.items) > 0`); faults != nil {
			b.Fatal(faults)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	p, err := Compile(When, `deps.find.outcome == "success" && size(deps.find.result.items) > 0`)
	if err != nil {
		b.Fatal(err)
	}
	scope := found()
	for b.Loop() {
		if ok, err := p.Eval(scope); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// TestPage: what docs/conditions.md says of expressions is so.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(page), "```cel\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("the page has no examples")
	}
	scope := &Scope{Inputs: json.RawMessage(`{"least": 2}`), Dependencies: []Dependency{{ID: "find", Name: "find", Outcome: "success", Status: "completed", Attempts: 1,
		Result: json.RawMessage(`{"count": 3, "price": 7.0, "items": ["a", "b"]}`)}}}
	for line := range strings.Lines(block) {
		text, want, _ := strings.Cut(strings.TrimSpace(line), " // ")
		p, err := Compile(When, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err := p.Unknown(scope.Dependencies); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		verdict, err := p.Eval(scope)
		got := fmt.Sprint(verdict)
		if err != nil {
			got = err.Error()
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("%s: got %s, the page says %s", text, got, want)
		}
	}
}
