package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"

	"github.com/taskgrove/taskgrove/coordinator"
)

// hostile steers terminals: an escape sequence, a C1 control, a change of direction, a line separator, a bell.
const hostile = "x\u001b[2J\u009b31m\u202eevil\u2066\u2028\u2029\u0085\a\u007f"

// TestNoTextSteersTheTerminal plays a tree whose every text is hostile through all commands and formats.
func TestNoTextSteersTheTerminal(t *testing.T) {
	svc := double(t)
	text, _ := json.Marshal(hostile)
	name := strings.ReplaceAll(string(text), `"`, "")
	document := `[{"id":"h1","name":"` + name + `","inputs":{"` + name + `":"` + name + `"},"` + name + `":1},` +
		`{"id":"h2","name":"` + name + `","parent_id":"h1","dependencies":["h1"]},{"id":"h3\u200f\u202e","name":"` + name + `","parent_id":"h1"}]`
	submitted(t, document)
	for _, id := range []string{"h1", "h2"} {
		svc.Log(id, hostile)
	}
	svc.Explain("h2", coordinator.Wait{Kind: coordinator.WaitDependency, TaskID: "h1", TaskName: hostile, Text: hostile})
	svc.Explain("h1", coordinator.Wait{Kind: coordinator.WaitPool, Pool: hostile, Text: hostile})
	commands := [][]string{{"get", "h1"}, {"get", "h1", "--attempts"}, {"tree", "h1"}, {"list"}, {"list", "--tasks"}, {"why", "h2"}, {"logs", "h1"},
		{"get", "h"}, {"get", "h1/" + hostile}, {"get", hostile}, {"cancel", hostile}, {"list", "--tree", "h"}, {"verify"}}
	check := func(args []string) {
		t.Helper()
		out, note, _ := runCommand(t, args...)
		if out+note == "" && args[0] != "verify" {
			t.Errorf("%q: printed nothing", args)
		}
		for _, r := range out + note {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029') {
				t.Errorf("%q: %U gets through in %q", args, r, out+note)
				return
			}
		}
	}
	for _, args := range commands {
		for _, format := range []string{"text", "json", "yaml"} {
			check(append(args, "-o", format))
		}
	}
	for _, text := range []string{"", "h", "h1/"} {
		check([]string{"__complete", "get", text})
	}
	check([]string{"submit", file(t, "again.json", document)}) // tells new ids
	svc.Complete("h2", string(text))
	svc.Fail("h3\u200f\u202e", hostile)
	svc.Fail("h1", hostile)
	for _, args := range append(commands, []string{"watch", "h1"}, []string{"rerun", "h1"}) {
		for _, format := range []string{"text", "json", "yaml"} {
			check(append(args, "-o", format))
		}
	}
}

func TestYAMLIsTheSameValue(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 40) + `1` + strings.Repeat(`]}`, 40)
	for _, text := range []string{
		`{"a":"b","n":12345678901234567890,"f":1.5,"t":true,"z":null,"e":{},"l":[],"s":""}`,
		`["yes","007","1e3","a: b # c","- x","~","null","3.14","=","<<","*a","&a","!t","2026-01-01","0x1f","a,b"," a","a ","é","日本"]`,
		`{"text":"one\ntwo\n","no end":"one\ntwo","two ends":"one\n\n","blank":"one\n\ntwo\n","indented":" one\n two\n","cr":"a\r\nb\n","tab":"a\n\tb\n"}`,
		`[[1,[2,{"x":[3]}]],{"y":"l1\nl2"},[{"k":1,"m":[{"n":2}]}]]`,
		`"x\u001b\u009b\u202e\u2028\u0085\ufeff😀"`, `7`, `{"":{"":[""]}}`, deep,
	} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(text)); err != nil {
			t.Fatal(err)
		}
		document := yamlOf(compact.Bytes())
		var got, want any
		if err := yaml.Unmarshal(document, &got); err != nil {
			t.Errorf("%s: %v in\n%s", text, err, document)
			continue
		}
		back, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(back, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %s from\n%s", text, back, document)
		}
	}
}

func TestYAMLReadsWell(t *testing.T) {
	got := string(yamlOf([]byte(`{"id":"a-1","name":"fetch orders","list":[1,{"x":"z","more":[[1,2]]}],"log":"one\ntwo\n","yes":"no"}`)))
	want := `id: a-1
name: fetch orders
list:
  - 1
  - x: z
    more:
      - - 1
        - 2
log: |
  one
  two
"yes": "no"
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTimesHaveTheUsersZone: also those in texts of the cluster, in the form that --since takes.
func TestTimesHaveTheUsersZone(t *testing.T) {
	before := zone
	zone = time.FixedZone("", 5*3600+1800)
	t.Cleanup(func() { zone = before })
	at := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	const want = "2040-01-01T05:30:00+05:30"
	if got := shownTime(at); got != want {
		t.Errorf("got %s", got)
	}
	if got, err := parseTime(want, time.Now()); err != nil || !got.Equal(at) {
		t.Errorf("got %v, %v", got, err)
	}
	if got := inZone("its not_before, 2040-01-01T00:00:00.000Z (2040-99-01T00:00:00.000Z)"); got != "its not_before, "+want+" (2040-99-01T00:00:00.000Z)" {
		t.Errorf("got %s", got)
	}
	svc := double(t)
	submitted(t, `[{"id":"r","name":"r"}]`)
	svc.Explain("r", coordinator.Wait{Kind: coordinator.WaitNotBefore, Text: "its not_before, 2040-01-01T00:00:00.000Z"})
	if out, note, code := runCommand(t, "why", "r"); code != exitOK || !strings.HasSuffix(out, "its not_before, "+want+"\n") {
		t.Errorf("exit %d: %s%s", code, out, note)
	}
	if out, note, code := runCommand(t, "cancel", "r", "--message", "not needed"); code != exitOK || out != "r: cancelled: not needed\n" {
		t.Errorf("exit %d: %s%s", code, out, note)
	}
}
