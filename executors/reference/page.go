// Package reference writes the documentation of executors from what they say of themselves.
//
// It owns the form of an executor's page and of the tables of the overview. It must not know any executor: it reads a
// [executors.Description] and the prose that lies beside the code.
package reference

import (
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// Entry is an executor that comes with a worker.
type Entry struct {
	executors.Description
	// Prose is the text of page.md beside the executor's code, or empty. What stands before its first heading of the second level
	// introduces the page, and its sections end it. Its links are relative to docs/executors.
	Prose string
	// PerCore: its slots follow from the number of cores.
	PerCore bool
	// Off is why it is off unless an operator turns it on; empty: it is on.
	Off string
}

// Page is the documentation of one executor, in Markdown. The error names what its description lacks or has wrong.
func Page(e Entry) ([]byte, error) {
	in, err := Fields(e.Inputs)
	if err != nil {
		return nil, fmt.Errorf("%s: inputs: %w", e.ID, err)
	}
	out, err := Fields(e.Output)
	if err != nil {
		return nil, fmt.Errorf("%s: output: %w", e.ID, err)
	}
	intro, sections := cut(e.Prose)
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Generated from the description of the executor and the page.md beside its code by \"go generate ./executors/builtin\". Do not edit. -->\n\n")
	fmt.Fprintf(&b, "# %s\n\n%s.", e.ID, strings.TrimSuffix(e.Description.Description, "."))
	if intro != "" {
		fmt.Fprintf(&b, " %s", intro)
	}
	b.WriteString("\n\n")
	facts(&b, e)
	if err := examples(&b, e); err != nil {
		return nil, fmt.Errorf("%s: %w", e.ID, err)
	}
	b.WriteString("## Inputs\n\n")
	inputs(&b, in, e.Inputs)
	if e.Secrets || e.Connection != nil {
		credentials(&b, e)
	}
	b.WriteString("## Result\n\n")
	output(&b, out, e.Output)
	kinds(&b, e.Kinds)
	b.WriteString(sections)
	return []byte(strings.TrimRight(b.String(), "\n") + "\n"), nil
}

// cut parts a prose before its first section.
func cut(prose string) (intro, sections string) {
	prose = "\n" + strings.TrimSpace(prose) + "\n"
	at := strings.Index(prose, "\n## ")
	if at < 0 {
		return strings.TrimSpace(prose), ""
	}
	return strings.TrimSpace(prose[:at]), strings.TrimLeft(prose[at:], "\n")
}

// facts is the table of what is no field.
func facts(b *strings.Builder, e Entry) {
	row := func(name, value string) { fmt.Fprintf(b, "| %s | %s |\n", name, value) }
	b.WriteString("| | |\n|---|---|\n")
	row("name", e.Name)
	row("type", "`"+e.Type+"`")
	if e.Off != "" {
		row("off by default", cell(e.Off))
	}
	row("slots by default", slots(e))
	if e.Timeout > 0 {
		row("timeout", fmt.Sprintf("%v, if the task has none", e.Timeout.Round(time.Millisecond)))
	}
	row("can be cancelled while it runs", yes(e.Cancelable))
	row("repeatable: may run twice at once without harm", yes(e.Repeatable))
	row("takes secrets", yes(e.Secrets))
	b.WriteString("\n")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// slots says how many attempts a pool of the executor runs at once.
func slots(e Entry) string {
	switch {
	case e.PerCore:
		return "one for each core, at least 2"
	case e.Concurrency > 0:
		return fmt.Sprint(e.Concurrency)
	}
	return fmt.Sprint(executors.DefaultConcurrency)
}

// inputs is the table of an executor's inputs.
func inputs(b *strings.Builder, all []Field, schema []byte) {
	if len(all) == 0 {
		b.WriteString(whole(schema, "It takes any inputs.") + "\n\n")
		return
	}
	b.WriteString("| input | type | default | |\n|---|---|---|---|\n")
	for _, f := range all {
		name := "`" + f.Name + "`"
		if f.Required {
			name += " (required)"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, f.Type, f.Default, f.Text)
	}
	b.WriteString("\n")
}

// output is the table of a result's fields.
func output(b *strings.Builder, all []Field, schema []byte) {
	if len(all) == 0 {
		b.WriteString(whole(schema, "Any value.") + "\n\n")
		return
	}
	if text := whole(schema, ""); text != "" {
		b.WriteString(text + "\n\n")
	}
	b.WriteString("| field | type | |\n|---|---|---|\n")
	for _, f := range all {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.Name, f.Type, f.Text)
	}
	b.WriteString("\n")
}

// kinds is the table of the kinds of an executor's errors.
func kinds(b *strings.Builder, all []executors.ErrorKind) {
	if len(all) == 0 {
		return
	}
	b.WriteString("## Error kinds\n\nA task's `retry_on` and `no_retry_on` may name these, beside [those of all executors](../../docs/executors.md#error-kinds).\n\n| kind | |\n|---|---|\n")
	for _, k := range all {
		fmt.Fprintf(b, "| `%s` | %s |\n", k.Word, k.Text)
	}
	b.WriteString("\n")
}

// credentials says whence passwords come.
func credentials(b *strings.Builder, e Entry) {
	b.WriteString("## Secrets and connections\n\n")
	if e.Secrets {
		b.WriteString("The value of any input may be `{\"secret\": \"name\"}`: the worker puts the secret of that name in its place, and it is stored nowhere.\n")
	}
	if c := e.Connection; c != nil {
		fmt.Fprintf(b, "`connection` names a connection of the worker's operator, of the type %s. The connection says where to go and as whom, so a task that\nnames one sets none of these itself: %s.\n",
			quoted(c.Types, " or "), quoted(c.Fields, ", "))
	}
	b.WriteString("\n")
}

func quoted(words []string, between string) string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = "`" + word + "`"
	}
	return strings.Join(all, between)
}
