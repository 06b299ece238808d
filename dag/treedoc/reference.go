package treedoc

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	noMarkdown = strings.NewReplacer("`", "")
	links      = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
)

const referenceHead = `<!-- Generated from the table of keys in package treedoc by "go generate ./node". Do not edit. -->

# The tree document

A tree is submitted as a document, in JSON or YAML: a list of tasks, one task, or an object with the list as its ` + "`tasks`" + `. The
same keys hold for ` + "`taskgrove submit`, `tasks.create` and `tasks.execute`" + ` of JSON-RPC, and SubmitJSON of the Go client.

` + "```yaml" + `
# yaml-language-server: $schema=tree.schema.json
tasks:
- {id: nightly, name: nightly report, dependencies: [count-orders]}
- id: fetch-orders
  name: fetch orders
  parent_id: nightly
  schemas: {method: rest_executor}
  inputs: {url: "https://example.org/orders"}
  retry: {max_attempts: 3}
- id: count-orders
  name: count the orders
  parent_id: nightly
  dependencies: [fetch-orders]
  schemas: {method: command_executor}
  inputs: {command: "wc -c", stdin_from: /fetch-orders/body}
` + "```" + `

[tree.schema.json](tree.schema.json) is the JSON Schema of it; ` + "`taskgrove schema`" + ` prints it. Name it in the first line of a YAML file, as
above, or as ` + "`$schema`" + ` beside ` + "`tasks`" + ` in JSON, and your editor completes and checks the keys.

A missing key and ` + "`null`" + ` are the same. No key may be given twice. Keys that the engine writes (` + "%s" + `) are ignored, so that a stored task can
be submitted again. Any other key is kept, shown with the task, and has no effect. If it is nearly one of those below, or one
that other systems have for it (` + "`depends_on`, `retries`, `optional`" + `), it was likely meant to have one: ` + "`taskgrove submit`" + ` refuses it unless
you add ` + "`--allow-unknown`" + `, and the answers of the APIs name it in ` + "`warnings`" + `, at most %d of them. Keys of ` + "`inputs`" + ` are compared with
those of the executors that come with Taskgrove, and only warned of. Where an input that such an executor requires is missing, a key that is
more or less like it is warned of, too; so is an executor that is nearly one of these, and that no worker has.
`

// Reference is the text of docs/tree.md.
func Reference() string {
	var b strings.Builder
	var ignored []string
	for _, name := range stored {
		if name != schemaKey {
			ignored = append(ignored, "`"+name+"`")
		}
	}
	fmt.Fprintf(&b, referenceHead, strings.Join(ignored, ", "), MaxWarnings)
	b.WriteString("\n## Keys of a task\n\n")
	table(&b, taskKeys)
	for _, part := range []struct {
		title string
		keys  []Key
	}{
		{"Keys of a dependency", dependencyKeys},
		{"Keys of retry", retryKeys},
		{"Keys of limits", limitKeys},
		{"Keys of lock", lockKeys},
		{"Keys of rates", rateKeys},
		{"Keys of schemas", schemasKeys},
		{"Keys of params", paramsKeys},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		table(&b, part.keys)
	}
	return b.String()
}

func table(b *strings.Builder, keys []Key) {
	b.WriteString("| Key | Type | Default | Effect | Example |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | `%s` |\n", k.Name, k.Shape.words(), k.Default, k.Effect, k.Example)
	}
}
