package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/bundleplugin"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// flowStep is a type of steps as it is listed.
type flowStep struct {
	Type        string   `json:"type"`
	Executor    string   `json:"executor,omitempty"` // empty: the flow itself does it
	Description string   `json:"description"`
	Resources   []string `json:"resources"` // kinds of resources that a step may name
}

// stepsOf are the types that steps may have by these executors, and by the flow itself.
func stepsOf(all []*client.Executor) []flowStep {
	steps := []flowStep{}
	for _, own := range flows.OwnTypes() {
		steps = append(steps, flowStep{Type: own.Type, Description: own.Description, Resources: []string{}})
	}
	for _, e := range all {
		if e.ID == bundleplugin.ID {
			continue // its types are those that bundles describe
		}
		one := flowStep{Type: strings.TrimSuffix(e.ID, "_executor"), Executor: e.ID, Description: e.Description, Resources: []string{}}
		if e.Connection != nil {
			for _, d := range resource.Drivers() {
				if !slices.Contains(one.Resources, d.Kind) && slices.ContainsFunc(d.Types(), func(typ string) bool { return slices.Contains(e.Connection.Types, typ) }) {
					one.Resources = append(one.Resources, d.Kind)
				}
			}
		}
		steps = append(steps, one)
	}
	slices.SortFunc(steps, func(a, b flowStep) int { return strings.Compare(a.Type, b.Type) })
	return steps
}

// described is what an executor of this program says of itself, in the client's words.
func described(d executors.Description) *client.Executor {
	e := &client.Executor{ID: d.ID, Type: d.Type, Name: d.Name, Description: d.Description, Tags: d.Tags, Inputs: d.Inputs, Output: d.Output, Cancelable: d.Cancelable, Repeatable: d.Repeatable,
		Timeout: d.Timeout, Secrets: d.Secrets, BuiltIn: true}
	if d.Connection != nil {
		e.Connection = &client.ConnectionUse{Types: d.Connection.Types, Fields: d.Connection.Fields}
	}
	for _, x := range d.Examples {
		e.Examples = append(e.Examples, client.ExecutorExample{Title: x.Title, Inputs: x.Inputs, Params: x.Params, Schemas: x.Schemas})
	}
	return e
}

func flowStepsCommand() *cobra.Command {
	var asks bool
	cmd := &cobra.Command{
		Use: "steps [TYPE]", Short: "List the types that steps of flows may have, or show one",
		Long: "Lists the types that steps of flows may have, and which kinds of resources a step of each may name. With a type, shows its inputs, its result and its examples.\n" +
			"It asks no cluster, and knows what this program has; with --cluster it lists what workers of the cluster have, their plugins too.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	bind(cmd, config.Variables(&config.Client{}))
	cmd.Flags().BoolVar(&asks, "cluster", false, "what workers of the cluster have")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var all []*client.Executor
		if asks {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			defer s.Close() //nolint:errcheck // nothing is left to be sent
			for e, err := range s.Executors(cmd.Context()) {
				if err != nil {
					return unreachable(s.explain(cmd.Context(), err))
				}
				all = append(all, e)
			}
		} else if flag := clientFlagOf(cmd); flag != "" {
			return usage("--%s: goes with --cluster", flag)
		} else {
			for d := range node.Described() {
				all = append(all, described(d))
			}
		}
		steps := stepsOf(all)
		if len(args) == 0 {
			if out.format == formatJSON {
				return printIndented(cmd.OutOrStdout(), steps)
			}
			table(cmd.OutOrStdout(), func(w io.Writer) {
				fmt.Fprintln(w, "TYPE\tRESOURCES\tDESCRIPTION")
				for _, one := range steps {
					fmt.Fprintf(w, "%s\t%s\t%s\n", oneLine(one.Type), cmp.Or(strings.Join(one.Resources, ", "), "-"), cut(oneLine(one.Description), descriptionWidth))
				}
			})
			return nil
		}
		i := slices.IndexFunc(steps, func(s flowStep) bool { return s.Type == args[0] || s.Executor == args[0] })
		if i < 0 {
			return unknownWord("type of steps", args[0], steps, func(s flowStep) string { return s.Type })
		}
		if steps[i].Executor == "" {
			if out.format == formatJSON {
				return printIndented(cmd.OutOrStdout(), steps[i])
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", steps[i].Type, steps[i].Description)
			return err
		}
		e := all[slices.IndexFunc(all, func(e *client.Executor) bool { return e.ID == steps[i].Executor })]
		if out.format == formatJSON {
			return printIndented(cmd.OutOrStdout(), struct {
				flowStep
				Inputs any `json:"inputs"` // JSON Schema
				Output any `json:"output"`
			}{steps[i], e.Inputs, e.Output})
		}
		writeSelf(cmd.OutOrStdout(), e, [2]string{"resources", strings.Join(steps[i].Resources, ", ")})
		return nil
	}
	return cmd
}

// unknownWord refuses a word that is none of a list.
func unknownWord[T any](what, word string, all []T, name func(T) string) error {
	var names []string
	for _, one := range all {
		names = append(names, name(one))
	}
	text := fmt.Sprintf("there is no %s %q", what, cut(word, descriptionWidth))
	if near := dag.Closest(word, names); near != "" {
		text += "; did you mean " + near + "?"
	}
	return codedError{errors.New(text), exitUsage}
}

// connector is a kind and a driver of resources as it is listed.
type connector struct {
	Kind     string             `json:"kind"`
	Driver   string             `json:"driver"`
	Steps    []string           `json:"steps"` // types of steps that may name such a resource
	Settings []resource.Setting `json:"settings"`
}

func (c connector) name() string { return c.Kind + ":" + c.Driver }

func connectors() (all []connector) {
	for _, d := range resource.Drivers() {
		one := connector{Kind: d.Kind, Driver: d.Name, Steps: []string{}, Settings: d.Settings()}
		for e := range node.Described() {
			if e.Connection != nil && slices.ContainsFunc(d.Types(), func(typ string) bool { return slices.Contains(e.Connection.Types, typ) }) {
				one.Steps = append(one.Steps, strings.TrimSuffix(e.ID, "_executor"))
			}
		}
		all = append(all, one)
	}
	return all
}

func flowConnectorsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "connectors [KIND:DRIVER]", Short: "List the kinds and drivers that resources of flows may have, or show one",
		Long: "Lists the kinds and drivers that resources of flows may have, and which types of steps may name such a resource. With KIND:DRIVER, shows what its config and options may hold.\n" +
			"It asks no cluster.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all := connectors()
		if len(args) == 0 {
			if out.format == formatJSON {
				return printIndented(cmd.OutOrStdout(), all)
			}
			table(cmd.OutOrStdout(), func(w io.Writer) {
				fmt.Fprintln(w, "CONNECTOR\tSTEPS")
				for _, c := range all {
					fmt.Fprintf(w, "%s\t%s\n", c.name(), cmp.Or(strings.Join(c.Steps, ", "), "-"))
				}
			})
			return nil
		}
		i := slices.IndexFunc(all, func(c connector) bool { return c.name() == args[0] })
		if i < 0 {
			return unknownWord("connector", args[0], all, connector.name)
		}
		if out.format == formatJSON {
			return printIndented(cmd.OutOrStdout(), all[i])
		}
		plain := strings.NewReplacer("`", "")
		fmt.Fprintf(cmd.OutOrStdout(), "%s, for steps of type %s\n", all[i].name(), cmp.Or(strings.Join(all[i].Steps, ", "), "-"))
		table(cmd.OutOrStdout(), func(w io.Writer) {
			fmt.Fprintln(w, "SETTING\tIS\tWITHOUT IT\t")
			for _, s := range all[i].Settings {
				var notes []string
				if len(s.Also) > 0 {
					notes = append(notes, "also "+strings.Join(s.Also, ", "))
				}
				if s.Secret {
					notes = append(notes, "a secret")
				}
				if s.Note != "" {
					notes = append(notes, plain.Replace(s.Note))
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Path, s.Is, cmp.Or(plain.Replace(s.Without), "-"), strings.Join(notes, "; "))
			}
		})
		return nil
	}
	return cmd
}
