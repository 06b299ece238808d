package config

import (
	"fmt"
	"strings"
)

// groups are the sections of the page, in order, with an introduction for some.
var groups = []struct{ name, text string }{
	{"Process", ""},
	{"Listeners", "Listeners are on loopback unless callers are asked who they are, or you allow others all the same."},
	{"TLS of listeners", "[TLS](tls.md) explains them."},
	{"Authentication", "How callers show who they are is told in [authentication](authentication.md)."},
	{"Access control", "What they may do is told in [access control](access-control.md). Use the same values in all coordinators."},
	{"Postgres", ""},
	{"NATS", "A worker needs only NATS. `taskgrove nats-config` prints the accounts, users and permissions for an external server; see [workers in NATS](reliability.md#workers-in-nats)."},
	{"Streams", "Coordinators create the streams, and change existing ones to these settings."},
	{"Scheduling", ""},
	{"Limits", "A submission that exceeds one of these limits is refused as a whole."},
	{"Payloads", "Use the same values in coordinators and workers."},
	{"Webhooks", "Use the same keys and secrets in all coordinators."},
	{"Audit record", "Use the same in all coordinators. [The audit record](audit.md) tells what it has."},
	{"Sealing", "Use the same keys in all coordinators. [Values at rest](sealing.md) explains them."},
	{"Artifacts", "The same in all coordinators. [Artifacts](artifacts.md) explains them."},
	{"Archive", "The same in all coordinators. [Keeping trees](keeping.md#archive) explains them; `taskgrove archive` reads the archive with the same."},
	{"Pools", ""},
	{"Attempts", ""},
	{"Executors", "Secrets and connections are variables, too: `TASKGROVE_SECRET_<NAME>` and `TASKGROVE_CONNECTION_<NAME>`; see [secrets and connections](secrets.md)."},
	{"Generated trees", "What [generated trees](generate.md) may hold, and which models make them."},
	{"Network", "For everything that an executor connects to; [network](network.md) explains the rules."},
	{"Logs", ""},
	{"Dev", ""},
	{"Client", ""},
}

const header = `<!-- Generated from the structs of package config by "go generate ./internal/config". Do not edit. -->

# Configuration

Every process reads its settings from environment variables once, when it starts. If a flag is named, the flag wins. An empty
variable counts as unset. Variables that the environment lacks are read from a file .env, if there is one (` + "`TASKGROVE_ENV_FILE`" + `). A process with wrong values does not start: it prints all faults at once, each with the variable's name
and the values that it takes. It warns of unknown variables that begin with TASKGROVE_.

Durations are numbers with units: ` + "`250ms`, `30s`, `1h30m`" + `. Sizes are in bytes, or have a unit: ` + "`128KiB`, `64MiB`" + `.
Secrets appear as ` + "`***`" + ` in logs and errors.

If ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` or ` + "`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`" + ` is set, traces are sent over OTLP, by gRPC or HTTP ([tracing](tracing.md)). The other variables of OpenTelemetry then work, too
(` + "`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`" + `).
`

// Markdown is the text of docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(header)
	for _, group := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n", group.name)
		if group.text != "" {
			fmt.Fprintf(&b, "%s\n\n", group.text)
		}
		b.WriteString("| Variable | Default | Effect | Takes | Read by |\n|---|---|---|---|---|\n")
		for _, v := range All() {
			if v.Group == group.name {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", names(v), defaults(v), cell(v.Effect), cell(v.Takes), strings.Join(v.Processes, ", "))
			}
		}
	}
	markdownForeign(&b)
	return b.String()
}

// markdownForeign writes the section about the variables of aipartnerupflow.
func markdownForeign(b *strings.Builder) {
	b.WriteString(foreignHeader)
	for _, v := range All() {
		for _, alias := range v.Aliases {
			for name := range strings.SplitSeq(alias, "+") {
				if !strings.HasPrefix(name, Prefix) {
					fmt.Fprintf(b, "| `%s` | counts as `%s` of %s |\n", name, v.Name, strings.Join(v.Processes, ", "))
				}
			}
		}
	}
	for _, f := range foreigners {
		fate := "has no effect, and is warned about: "
		switch {
		case f.protects:
			fate = "stops the start: "
		case f.quiet:
			fate = "has no effect: "
		}
		fmt.Fprintf(b, "| `%s%s` (%s) | %s%s |\n", referencePrefix, f.name, f.does, fate, cell(f.ours))
	}
}

const foreignHeader = `
## Variables of aipartnerupflow

Its variables count where the thing exists. Others are warned about at the start, by name; one that asks for protection which nobody would give stops the
start, and so does an unknown one that seems to. ` + "`DEBUG`" + ` is not read: ` + "`LOG_LEVEL`" + ` is. Keys of models, such as ` + "`OPENAI_API_KEY`" + `, are those of
[workers](models.md).

| Variable | What becomes of it |
|---|---|
`

func names(v Variable) string {
	text := code(v.Name)
	if v.Flag != "" {
		text += "<br>" + code("--"+v.Flag)
	}
	for _, alias := range v.Aliases {
		host, port, pair := strings.Cut(alias, "+")
		text += "<br>or " + code(host)
		if pair {
			text += " and " + code(port)
		}
	}
	return text
}

// defaults is the default of a variable, and dev's if it is another.
func defaults(v Variable) string {
	text := orElse(code(v.Default), "none")
	if v.DevDefault != "" {
		text += "; dev: " + code(v.DevDefault)
	}
	return text
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// cell makes text fit into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
