package env_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/taskgrove/taskgrove/flows/env"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// show is what values hold, sorted, with the lines that they are from.
func show(v env.Values) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		one := fmt.Sprintf("%s=%q", name, v[name].Text)
		if v[name].Line > 0 {
			one += fmt.Sprintf("@%d", v[name].Line)
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

// read reads one file of a kind, and shows what is in it, or its faults after !. Notes follow a ~.
func read(kind env.Kind, text string) string {
	values, notes, err := env.Read(fstest.MapFS{"f": {Data: []byte(text)}}, []env.Source{{Kind: kind, Path: "f"}})
	if err != nil {
		return "!" + err.Error()
	}
	out := show(values)
	for _, n := range notes {
		out += " ~" + n.String()
	}
	return out
}

func TestDotenv(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"\n\n \n":                       "",
		"A=1":                           `A="1"@1`,
		"A=1\nB=2\n":                    `A="1"@1 B="2"@2`,
		"A=1\r\nB=2\r\n":                `A="1"@1 B="2"@2`,
		"A=1\rB=2":                      `A="1"@1 B="2"@2`,
		" \tA \t=\t 1 2 \t":             `A="1 2"@1`,
		"# A=1\n  # B=2\nC=3 # x":       `C="3 # x"@3`,
		"no equals\nA=1":                `A="1"@2`,
		"A=":                            `A=""@1`,
		`A=""`:                          `A=""@1`,
		`A="`:                           `A="\""@1`,
		`A='`:                           `A="'"@1`,
		`A="x"`:                         `A="x"@1`,
		`A=' x '`:                       `A=" x "@1`,
		`A=""x""`:                       `A="\"x\""@1`,
		`A="x'`:                         `A="\"x'"@1`,
		`A="x`:                          `A="\"x"@1`,
		`A="a\nb"`:                      `A="a\\nb"@1`,
		`A=$B-${B}`:                     `A="$B-${B}"@1`,
		"A=x=y==":                       `A="x=y=="@1`,
		"A=1\nA=2":                      `A="2"@2`,
		"export A=1":                    `A="1"@1`,
		" export \t A = 1":              `A="1"@1`,
		"export=1":                      `export="1"@1`,
		"exportA=1":                     `exportA="1"@1`,
		"\ufeffA=1":                     `A="1"@1`,
		"A=é\u2028x":                    `A="é\u2028x"@1`,
		"_a9=1":                         `_a9="1"@1`,
		"=1":                            "!f:1:1: there is no name before the =",
		"A=1\n  9A=1\nA-B=2\nexport =1": "!f:2:3: \"9A\" can't be a name: want letters, digits and _, with no digit first\nf:3:1: \"A-B\" can't be a name: want letters, digits and _, with no digit first\nf:4:1: there is no name before the =",
		"export export A=1":             `!f:1:1: "export A" can't be a name: want letters, digits and _, with no digit first`,
		"É=1":                           `!f:1:1: "É" can't be a name: want letters, digits and _, with no digit first`,
		"A\x00=1":                       `!f:1:1: "A\x00" can't be a name: want letters, digits and _, with no digit first`,
		"A=secret\x00":                  `!f:1: the value of "A" contains a NUL, which can't be stored`,
		"B=1\nA=\xff":                   "!f:2: it is not text in UTF-8",
		"\xff\xfeA\x00=\x001\x00":       "!f:1: it is not text in UTF-8",
	} {
		if got := read(env.Dotenv, text); got != want {
			t.Errorf("%q: got  %s\nwant %s", text, got, want)
		}
	}
	if got := read(env.Dotenv, strings.Repeat("-=secret\n", 1000)); strings.Contains(got, "secret") || strings.Count(got, "\n") != env.MaxFaults || !strings.HasSuffix(got, "f: and 1 more faults") {
		t.Errorf("many faults: %.300s", got)
	}
	if got := read(env.Dotenv, "A"+strings.Repeat("x", 2<<20)+"=1"); got != "!f: it is too large: 1024 KiB are read of a file, and of all files of a directory together" {
		t.Errorf("a large file: %.300s", got)
	}
	var many strings.Builder
	for i := range env.MaxNames + 1 {
		fmt.Fprintf(&many, "A%d=\n", i)
	}
	if got := read(env.Dotenv, many.String()); got != fmt.Sprintf("!f:%d: it has more than %d names", env.MaxNames+1, env.MaxNames) {
		t.Errorf("many names: %.300s", got)
	}
}

func TestJSON(t *testing.T) {
	useless := func(name, at string) string {
		return "~f:" + at + ": templates can't name " + name + ", so that it has no effect: letters, digits and _ can be in a name, and no digit first"
	}
	for text, want := range map[string]string{
		`{}`:            "",
		"\ufeff {} \n ": "",
		`{"A": "x", "B": true, "C": false, "N": null}`:                     `A="x"@1 B="true"@1 C="false"@1`,
		`{"A": 1.50, "B": 1e400, "C": -0, "D": 12345678901234567890123}`:   `A="1.50"@1 B="1e400"@1 C="-0"@1 D="12345678901234567890123"@1`,
		"{\n\"A\": {\"b\" : [1.0, \"x y\"], \"a\": null},\n \"B\": [ ]\n}": `A="{\"b\":[1.0,\"x y\"],\"a\":null}"@2 B="[]"@3`,
		`{"A": "a\u00e9\n\"\ud83d\ude00"}`:                                 `A="aé\n\"😀"@1`,
		`{"A": ""}`:                                                        `A=""@1`,
		`{"a-b": "secret", "A": 1}`:                                        `A="1"@1 ` + useless(`"a-b"`, "1:2"),
		"{\"A\": 1,\n  \"\": 2}":                                           `A="1"@1 ` + useless(`""`, "2:3"),
		``:                                                                 "!f:1:1: the JSON ends too early",
		` `:                                                                "!f:1:1: the JSON ends too early",
		`[]`:                                                               "!f:1:1: want a JSON object of names and values",
		`"secret"`:                                                         "!f:1:1: want a JSON object of names and values",
		`null`:                                                             "!f:1:1: want a JSON object of names and values",
		`{"A": "secret`:                                                    "!f:1:14: the JSON ends too early",
		`{"A": "secret"`:                                                   "!f:1:15: the JSON ends too early",
		"{\"A\": 1,\n \"A\": \"secret\"}":                                  "!f:2:2: a name is there twice in one object",
		"{\"A\": {\"B\": 1,\n \"B\": 2}}":                                  "!f:2:2: a name is there twice in one object",
		`{"A": 1,}`:                                                        "!f:1:8: it is no JSON",
		`{'A': 1}`:                                                         "!f:1:2: it is no JSON",
		`{A: 1}`:                                                           "!f:1:2: it is no JSON",
		`{"A": 01}`:                                                        "!f:1:8: it is no JSON",
		`{"A": NaN}`:                                                       "!f:1:7: it is no JSON",
		"{\"A\": \"x\ty\"}":                                                "!f:1:9: it is no JSON",
		"{\"A\": 1} // no":                                                 "!f:1:9: something follows the object",
		`{"A": 1} {}`:                                                      "!f:1:9: something follows the object",
		`{"A": "a\u0000"}`:                                                 `!f:1:2: the value of "A" contains a NUL, which can't be stored`,
		`{"A": "\ud800"}`:                                                  "!f:1:8: it is no JSON",
		"{\"A\": \"\xff\"}":                                                "!f:1:8: it is no JSON",
		`{"A": ` + strings.Repeat("[", 20000):                              "!f:1:10006: it is no JSON",
	} {
		got := read(env.JSON, text)
		if len(text) > 1000 && strings.HasPrefix(got, "!f:1:") {
			continue
		}
		if got != want {
			t.Errorf("%q: got  %s\nwant %s", text, got, want)
		}
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("env/..2026/USER", "ann\n\n")
	put("env/.hidden", "no")
	put("env/B", " x\ny \r\n")
	put("env/tls.crt", "x")
	put("env/below/C", "no")
	put("outside", "secret")
	for link, to := range map[string]string{"..data": "..2026", "USER": "..data/USER", "GONE": "nowhere", "OUT": "../outside", "DIR": "below"} {
		if err := os.Symlink(to, filepath.Join(dir, "env", link)); err != nil {
			t.Fatal(err)
		}
	}
	const note = `env/tls.crt: templates can't name "tls.crt", so that it has no effect: letters, digits and _ can be in a name, and no digit first`
	values, notes, err := env.Read(os.DirFS(dir), []env.Source{{Path: "env"}})
	if got := show(values); err != nil || got != `B=" x\ny " OUT="secret" USER="ann"` || len(notes) != 1 || notes[0].String() != note {
		t.Errorf("got %s, %v, %v", got, notes, err)
	}
	if values["B"].File != "env/B" {
		t.Errorf("B is of %s", values["B"].File)
	}
	root, err := os.OpenRoot(dir + "/env") // of a bundle: links lead nowhere else
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // it is only read
	if _, _, err := env.Read(root.FS(), []env.Source{{Path: "."}}); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "OUT: path escapes") {
		t.Errorf("a link out of the bundle: %v", err)
	}
	named := env.Fault{File: "manifest.yaml", Line: 7, Column: 3}
	for _, files := range []fs.FS{root.FS(), os.DirFS(dir + "/env")} {
		_, _, err = env.Read(files, []env.Source{{Path: "../outside", Named: named, Optional: true}, {Path: dir + "/outside"}})
		if want := "manifest.yaml:7:3: ../outside: the path leads out of the directory of the bundle\n" + dir + "/outside: the path leads out of the directory of the bundle"; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	}
	put("env/BAD", "a\x00")
	put("env/WORSE", "\xff")
	if _, _, err := env.Read(os.DirFS(dir), []env.Source{{Path: "env"}}); err == nil || err.Error() != "env/BAD: the value of \"BAD\" contains a NUL, which can't be stored\nenv/WORSE: the value of \"WORSE\" is not text in UTF-8" {
		t.Errorf("got %v", err)
	}
	put("all/A", strings.Repeat("x", 1<<19))
	put("all/B", strings.Repeat("x", 1<<19+1))
	if _, _, err := env.Read(os.DirFS(dir), []env.Source{{Path: "all"}}); err == nil || !strings.HasPrefix(err.Error(), "all/B: it is too large") {
		t.Errorf("too large together: %v", err)
	}
}

// Later files win, prefixes go before all names, and what is missing is told where it is named.
func TestRead(t *testing.T) {
	files := fstest.MapFS{
		"a.env": {Data: []byte("A=1\nB=1\n")}, "b.JSON": {Data: []byte(`{"B": 2, "1": 3}`)}, "d/C": {Data: []byte("3")}, "pipe": {Mode: fs.ModeNamedPipe},
		"bad": {Data: []byte("-=x")}, "bad.json": {Data: []byte("[")},
	}
	named := env.Fault{File: "manifest.yaml", Line: 7, Column: 3}
	for name, row := range map[string]struct {
		sources []env.Source
		want    string
	}{
		"in order":           {[]env.Source{{Path: "a.env"}, {Path: "b.JSON"}, {Path: "d"}}, `A="1"@1 B="2"@1 C="3"`},
		"the other way":      {[]env.Source{{Path: "b.JSON"}, {Path: "a.env"}}, `A="1"@1 B="1"@2`},
		"prefixes":           {[]env.Source{{Path: "b.JSON", Prefix: "X_"}, {Path: "d", Prefix: "Y"}}, `X_1="3"@1 X_B="2"@1 YC="3"`},
		"another type":       {[]env.Source{{Path: "b.JSON", Kind: env.Dotenv}}, ``},
		"optional":           {[]env.Source{{Path: "none", Optional: true}, {Path: "d/none", Optional: true, Kind: env.Dir}}, ``},
		"missing":            {[]env.Source{{Path: "none", Named: named}, {Path: "none2"}}, "!manifest.yaml:7:3: none: there is no such file\nnone2: there is no such file"},
		"no directory":       {[]env.Source{{Path: "a.env", Kind: env.Dir, Optional: true}}, "!a.env: it is no directory"},
		"a directory":        {[]env.Source{{Path: "d", Kind: env.JSON, Optional: true}}, "!d: it is no file"},
		"a pipe":             {[]env.Source{{Path: "pipe"}}, "!pipe: it is no file"},
		"all faults at once": {[]env.Source{{Path: "bad"}, {Path: "none"}, {Path: "bad.json"}}, "!bad:1:1: \"-\" can't be a name: want letters, digits and _, with no digit first\nnone: there is no such file\nbad.json:1:1: want a JSON object of names and values"},
	} {
		values, _, err := env.Read(files, row.sources)
		got := show(values)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != row.want {
			t.Errorf("%s: got  %s\nwant %s", name, got, row.want)
		}
	}
}

func TestSources(t *testing.T) {
	for text, want := range map[string]string{
		`x: 1`:                              "",
		`env_files: null`:                   "",
		`env_files: []`:                     "",
		`env_files: [a.env, /b.json, ../c]`: "{ m/a.env false  m.yaml:1:13} { /b.json false  m.yaml:1:20} { c false  m.yaml:1:29}",
		"env_files:\n- {path: a, type: Directory, optional: true, prefix: X_}\n- {path: b, type: null, optional: null}": "{dir m/a true X_ m.yaml:2:3} { m/b false  m.yaml:3:3}",
		`env_files: a.env`: "!m.yaml:1:1: env_files must be a list",
		"env_files:\n- 5\n- {type: ini, optional: yes, prefix: 1x, file: b}\n- {path: ''}\n- {path: [a]}": "!m.yaml:2:3: env_files[0] must be a path, or a map with path\n" +
			"m.yaml:3:4: env_files[1].type must be dotenv, json or dir\nm.yaml:3:15: env_files[1].optional must be true or false\n" +
			"m.yaml:3:30: env_files[1].prefix \"1x\" can't begin a name: want letters, digits and _, with no digit first\n" +
			"m.yaml:3:42: env_files[1] has no key \"file\": there are type, path, optional and prefix\nm.yaml:4:3: env_files[2] has no path\nm.yaml:5:4: env_files[3].path must be a text",
	} {
		_, v, err := treefile.DecodeStrict("m.yaml", []byte(text), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		sources, faults := env.Sources(v.Get("env_files"), "m.yaml", "m")
		var all []string
		for _, s := range sources {
			all = append(all, fmt.Sprintf("{%s %s %v %s %s}", s.Kind, s.Path, s.Optional, s.Prefix, strings.TrimSuffix(s.Named.String(), ": ")))
		}
		got := strings.Join(all, " ")
		if len(faults) > 0 {
			got = "!" + faults.Error()
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	flow, bundle := env.Of(map[string]string{"A": "flow", "B": "flow"}), env.Values{"B": {Text: "bundle", File: "f", Line: 3}, "C": {Text: "bundle"}}
	all := env.Merge(flow, bundle, nil, env.Of(map[string]string{"C": ""}))
	if got := show(all); got != `A="flow" B="bundle"@3 C=""` {
		t.Errorf("got %s", got)
	}
	if got := show(all.Only(func(name string) bool { return name != "B" })); got != `A="flow" C=""` || len(flow) != 2 {
		t.Errorf("got %s, and the first layer has %d", got, len(flow))
	}
	if got := all.Texts(); got["A"] != "flow" || len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

// FuzzEnv: whatever files hold, what is read are names and texts that can be stored, from lines that there are, and no fault shows a value.
func FuzzEnv(f *testing.F) {
	for _, seed := range []string{"A=1\nexport B='x'\n", "\ufeff# c\r\n9=1", `{"A": [1, {"b": null}], "A": 2}`, "{\"A\": \"\\u0000\"}", "A=\x00", "=\xff"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		kind := env.Dotenv
		if asJSON {
			kind = env.JSON
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		values, notes, err := env.Read(fstest.MapFS{"f": {Data: []byte(text)}}, []env.Source{{Kind: kind, Path: "f"}})
		for name, v := range values {
			if !env.ValidName(name) || strings.ContainsRune(v.Text, 0) || strings.ToValidUTF8(v.Text, "") != v.Text || v.Line < 1 || v.Line > lines || len(v.Text) > len(text) {
				t.Errorf("%q has %+v", name, v)
			}
		}
		faults, _ := errors.AsType[env.Faults](err)
		for _, one := range append(faults, notes...) {
			if one.Line < 0 || one.Line > lines || one.Column < 0 || one.Column > len(text)+2 || len(one.Text) > 600 {
				t.Errorf("%+v", one)
			}
		}
		if err != nil && (values != nil || len(faults) == 0) {
			t.Errorf("%v with %v", err, values)
		}
	})
}

// FuzzSources: whatever a list of sources holds, each source has a path, and each fault a place.
func FuzzSources(f *testing.F) {
	f.Add("env_files: [a, {path: b, type: dir, optional: true, prefix: X}]")
	f.Add("env_files: {a: [1]}")
	f.Fuzz(func(t *testing.T, text string) {
		_, v, err := treefile.DecodeStrict("m", []byte(text), 1<<16)
		if err != nil {
			return
		}
		sources, faults := env.Sources(v.Get("env_files"), "m", "")
		for _, s := range sources {
			if s.Path == "" || s.Named.Line < 1 || s.Prefix != "" && !env.ValidName(s.Prefix) {
				t.Errorf("%+v", s)
			}
		}
		for _, one := range faults {
			if one.Line < 1 || one.Text == "" {
				t.Errorf("%+v", one)
			}
		}
	})
}
