package config

import (
	"fmt"
	"strings"
)

// groups are the sections of the page, in order, with what is to say on top of each.
var groups = []struct{ name, text string }{
	{"Process", ""},
	{"Listeners", "Nothing asks who calls, so that listeners are on loopback unless that is allowed."},
	{"Postgres", ""},
	{"NATS", "A worker needs NATS alone. `taskgrove nats-config` renders the users of an external server and their permissions."},
	{"Streams", "Coordinators make the streams, and bring existing ones to these settings."},
	{"Scheduling", ""},
	{"Limits", "Above them a submission is refused as a whole."},
	{"Payloads", "Give them the same values in coordinators and workers."},
	{"Pools", ""},
	{"Attempts", ""},
	{"Executors", ""},
	{"Logs", ""},
	{"Dev", ""},
	{"Client", ""},
}

const header = `<!-- Generated from the structs of package config by "go generate ./internal/config". Do not edit. -->

# Configuration

Every process reads its settings from environment variables, once, at its start. Where a flag is named, the flag has
precedence. An empty variable counts as unset. A wrong value stops the start: each fault is printed with the variable's
name and what it takes, all of them at once. Variables that begin with TASKGROVE_ and are none of these are named in a
warning.

Durations are numbers with units: ` + "`250ms`, `30s`, `1h30m`" + `. Sizes are bytes, or have a unit: ` + "`128KiB`, `64MiB`" + `.
Secrets show as ` + "`***`" + ` in logs and errors.

Traces are sent over OTLP (gRPC) when ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` is set; the other variables of OpenTelemetry
(` + "`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`" + `) then work, too.
`

// Markdown is docs/configuration.md.
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
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", names(v), orElse(code(v.Default), "none"), cell(v.Effect), cell(v.Takes), strings.Join(v.Processes, ", "))
			}
		}
	}
	return b.String()
}

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

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// cell makes text fit into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
