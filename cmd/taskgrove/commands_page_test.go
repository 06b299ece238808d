package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:generate go test -run TestCommandsPage -update .

var update = flag.Bool("update", false, "write the page of commands again")

// TestCommandsPage compares docs/commands.md with what the commands say of themselves.
func TestCommandsPage(t *testing.T) {
	const path = "../../docs/commands.md"
	var b strings.Builder
	b.WriteString("<!-- Generated from the commands by \"go generate ./cmd/taskgrove\". Do not edit. -->\n\n# Commands\n\n" +
		"Every command with its flags, as `taskgrove help COMMAND` shows them. [The command line](cli.md) explains them by what one wants to do.\n" +
		"Flags that name a variable in brackets stand for [that setting](configuration.md).\n")
	root := newRoot(new(bool))
	writeIndex(&b, root)
	writeCommand(&b, root)
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page, err := os.ReadFile(path); err != nil || string(page) != b.String() {
		t.Errorf("%s is not what the commands say (%v): run go generate ./cmd/taskgrove", path, err)
	}
}

// shown are the commands below one that help shows.
func shown(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" {
			all = append(all, c)
		}
	}
	return all
}

func writeIndex(b *strings.Builder, root *cobra.Command) {
	b.WriteString("\n| command | |\n|---|---|\n")
	for _, c := range shown(root) {
		fmt.Fprintf(b, "| [%s](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), cellText(c.Short))
	}
}

// writeCommand writes a section for each command below one.
func writeCommand(b *strings.Builder, parent *cobra.Command) {
	for _, c := range shown(parent) {
		fmt.Fprintf(b, "\n## %s\n\n", c.CommandPath())
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(b, "%s\n\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimSpace(text), "<", "\\<"), c.UseLine())
		writeFlags(b, c)
		writeCommand(b, c)
	}
}

func writeFlags(b *strings.Builder, c *cobra.Command) {
	rows := ""
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		value, usage := pflag.UnquoteUsage(f)
		if value != "" {
			name += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (" + f.DefValue + ")"
		}
		rows += fmt.Sprintf("| %s | %s |\n", name, cellText(usage))
	})
	if rows != "" {
		b.WriteString("\n| flag | |\n|---|---|\n" + rows)
	}
}

// cellText is a text for a cell of a table.
func cellText(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "\\<").Replace(text)
}
