package treetest

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// key describes a key of the mocks file: its reader and its reference are made of the same tables.
type key struct {
	name, kind, byDefault, effect, example string
}

// caseKeys are those of a case. The file itself has them, too: for all its cases, or as the only one.
var caseKeys = []key{
	{"name", "text", "required in `cases`", "What the case is called in reports. Names differ.", `"the disk is full"`},
	{"description", "text", "none", "For people.", `"What happens if cleaning fails."`},
	{"parameters", "object", "none", "Values for the parameters of the tree file. A case's own go before the file's, and both before `--set` and `--values`.", `{"day": "2026-11-28"}`},
	{"start", "text", "`2030-01-01T00:00:00Z`", "When the tree starts by the virtual clock: RFC 3339.", `"2026-11-28T22:00:00Z"`},
	{"mocks", "object", "none", "What attempts come to, by the name or the id of their task: [a mock](#keys-of-a-mock), or a list of mocks. A case's own go before the file's.", `{"fetch": {"result": {"body": "a"}}}`},
	{"default", "object", "none", "A mock for tasks that have none. Without it, a task that runs something and has no mock is an error.", `{"result": {}}`},
	{"events", "list", "none", "What users do meanwhile: see [events](#keys-of-an-event).", `[{"at": 90, "cancel": "fetch"}]`},
	{"expect", "object", "`{\"outcome\": \"completed\"}`", "What the tree must come to: see [expectations](#keys-of-expect).", `{"tasks": {"alert": "success"}}`},
}

// fileKeys are those of the file.
var fileKeys = append([]key{
	{"taskgrove", "`1`", "required", "The version of the file's form. Cases don't have it.", `1`},
	{"cases", "list", "none: the file is one case", "The cases, with the keys below. `events` and `expect` then stand in them, and not beside them.", `[{"name": "all goes well"}]`},
}, caseKeys...)

var mockKeys = []key{
	{"attempt", "number, or list of numbers", "any", "The attempts that it is for, from 1. Runs of a task that repeats count on.", `[1, 2]`},
	{"inputs", "any", "any", "The inputs that it is for, as they are once results are merged into them and their templates are rendered: of objects, the keys that are named here.", `{"url": "https://example.org/2026-11-28.csv"}`},
	{"result", "any", "`{}`", "What the attempt returns. With `skip`, what the skip returns besides.", `{"stdout": "a\nb\n"}`},
	{"error", "text", "none", "The attempt fails with this text.", `"no space left on device"`},
	{"kind", "text", "`executor`", "Of an error: the word for its kind, which `retry_on` and `no_retry_on` name.", `"http_503"`},
	{"permanent", "boolean", "`false`", "Of an error: it is not tried again.", `true`},
	{"retry_after", "duration", "none", "Of an error: the next attempt begins so much later at least.", `30`},
	{"skip", "text", "none", "The attempt ends as skipped, for this reason.", `"no_files"`},
	{"expand", "object", "none", "The attempt finds tasks, as an executor does: `tasks`, or `items` and `each` with `window` and `stop_on_failure`; and `collect`.", `{"tasks": [{"name": "part"}]}`},
	{"signal", "any", "none", "Of a task that waits for a signal: the payload that comes. Without it none does.", `{"order": 7}`},
	{"choice", "text", "none", "Of a task that waits for approval: the answer that comes. Without it none does.", `"approve"`},
	{"by", "text", "`tester`", "Of an answer: who gave it.", `"ann"`},
	{"comment", "text", "none", "Of an answer: what they said.", `"looks good"`},
	{"hangs", "boolean", "`false`", "The attempt works until its timeout, or until it is cancelled.", `true`},
	{"lost", "boolean", "`false`", "The attempt's worker is lost at the end of `takes`.", `true`},
	{"takes", "duration", "1 s", "How long the attempt works; of a signal or a choice, how long the task waits for it.", `"8h"`},
}

var eventKeys = []key{
	{"at", "duration", "required", "When, from the start of the tree.", `"1h30m"`},
	{"cancel", "text", "none", "The task that is cancelled; the tree, if it is the root.", `"fetch"`},
	{"skip", "text", "none", "The task that is skipped. It must not have started.", `"fetch"`},
}

var expectKeys = []key{
	{"outcome", "text", "`completed`", "What the tree comes to: `completed`, `failed` or `cancelled`.", `"failed"`},
	{"tasks", "object", "none", "What tasks come to, by name or id: an outcome (`success`, `skipped`, `failed`, `cancelled`, `blocked`), or [an object](#keys-of-an-expected-task). What is not listed may end as it likes.", `{"clean": "failed"}`},
	{"order", "list", "none", "Tasks of which each has ended before the next one starts: by the clock, or, at the same instant, because the next one waits for it. Several such lists may stand in the list.", `["fetch", "clean"]`},
	{"within", "duration", "any", "How long the tree may take at most.", `"9h"`},
}

var taskKeys = []key{
	{"outcome", "text", "any", "`success`, `skipped`, `failed`, `cancelled` or `blocked`.", `"success"`},
	{"attempts", "number", "any", "How many attempts were started. 0: it never ran.", `2`},
	{"inputs", "any", "any", "The inputs of the last attempt: of objects, the keys that are named here.", `{"stdin": "a\nb\n"}`},
	{"result", "any", "any", "The result, likewise.", `{"stdout": "a\n"}`},
	{"outputs", "object", "any", "The values that the task names as `outputs`, likewise.", `{"lines": 1}`},
	{"error", "text", "any", "A part of the error.", `"no space"`},
	{"reason", "text", "any", "The reason of a skip.", `"when_false"`},
	{"blocked_by", "text", "any", "The task whose end blocks it.", `"fetch"`},
	{"started", "duration", "any", "When its first attempt started, from the start of the tree.", `61`},
	{"ended", "duration", "any", "When it ended, from the start of the tree.", `"1m2s"`},
	{"count", "number", "at least 1", "How many tasks there are of the name, which may hold `*`.", `3`},
}

// links are those of sentences in Markdown.
var links = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)

// known are keys as package treedoc compares them with unknown ones.
func known(keys []key) (out []treedoc.Key) {
	for _, k := range keys {
		out = append(out, treedoc.Key{Name: k.name})
	}
	return out
}

const referenceHead = `<!-- Generated from the tables of keys in package treetest by "go generate ./node". Do not edit. -->

# Mocks files

A mocks file says what the attempts of a tree's tasks come to, and what is expected of the tree, for [` + "`taskgrove test`" + `](testing-trees.md). It is YAML or JSON.

A duration is a number of seconds, or text such as ` + "`1h30m`" + `. [mocks.schema.json](mocks.schema.json) is its JSON Schema; ` + "`taskgrove schema mocks`" + ` prints it, for editors, which are told of it as [of tree files](tree-files.md).

A missing key and ` + "`null`" + ` are the same, but for ` + "`result`, `signal` and `inputs`" + `. Any other key is an error, and so is the name of a
task that the tree has not.

The name of a task is its name or its id. ` + "`*`" + ` in it stands for any text: ` + "`measure[*]`" + ` are the tasks that a map of that name makes. A task of a tree that another one submits is
called ` + "`SUBTREE TASK/NAME`" + `, or by its name alone if the first tree has none of that name. Of several mocks the first counts that fits the attempt, those under the exact name first.

Bounds: %d KiB, %d cases, %d mocks of a name; of a case %d tasks, %d attempts, and %d years of virtual time.
`

// Reference is the text of docs/mocks-reference.md.
func Reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, referenceHead, MaxBytes>>10, maxCases, maxMocks, maxTasks, maxAttempts, int(maxTime.Hours()/24/365))
	for _, part := range []struct {
		title string
		keys  []key
	}{
		{"Keys of the file, and of its cases", fileKeys}, {"Keys of a mock", mockKeys}, {"Keys of an event", eventKeys}, {"Keys of expect", expectKeys}, {"Keys of an expected task", taskKeys},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| Key | Type | Default | Effect | Example |\n|---|---|---|---|---|\n", part.title)
		for _, k := range part.keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", k.name, k.kind, k.byDefault, k.effect, k.example)
		}
	}
	return b.String()
}
