package main

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// newRoot makes the command tree. It sets started once the command line was understood.
func newRoot(started *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "taskgrove",
		Short: "Run trees of tasks",
		Long: "Taskgrove runs trees of tasks on Postgres and NATS.\n\n" +
			"\"taskgrove dev\" starts a whole cluster on this machine, without any set-up.",
		Version:       node.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmp.Or(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil { // cobra looks only after this
				return err
			}
			*started = true
			return nil
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(&cobra.Group{ID: groupServe, Title: "Processes of a cluster:"}, &cobra.Group{ID: groupClient, Title: "Clients of a running cluster:"})
	root.AddCommand(devCommand(), coordinatorCommand(), workerCommand(), migrateCommand(), upgradeCommand(), archiveCommand(), natsConfigCommand(), schemaCommand(), renderCommand(), testCommand(), versionCommand(), pluginCommand())
	root.AddCommand(healthCommand())
	root.AddCommand(clientCommands()...)
	plainArguments(root)
	return root
}

// groupServe holds the commands that run until they are stopped.
const groupServe = "serve"

// setting is a flag that stands for a variable. Its value is checked where all others are, in package config.
type setting struct {
	of    config.Variable
	value string
}

// Set implements [pflag.Value].
func (s *setting) Set(value string) error {
	s.value = value
	return nil
}

// String implements [pflag.Value].
func (s *setting) String() string { return s.value }

// Type implements [pflag.Value]; help shows it.
func (s *setting) Type() string {
	if s.of.Switch {
		return "bool"
	}
	return "value"
}

// bind gives the command a flag for each of the variables that has one.
func bind(cmd *cobra.Command, variables []config.Variable) {
	for _, v := range variables {
		if v.Flag == "" {
			continue
		}
		short := v.Short
		if short != "" && cmd.Flags().ShorthandLookup(short) != nil {
			short = ""
		}
		flag := cmd.Flags().VarPF(&setting{of: v}, v.Flag, short, v.Effect+" ["+v.Name+"]")
		flag.DefValue = v.Default
		if v.Switch {
			flag.NoOptDefVal = "true"
			flag.DefValue = strings.TrimPrefix(v.Default, "false")
		}
	}
}

// flags are the values of the bound flags that were given, by variable.
func flags(cmd *cobra.Command, variables []config.Variable) map[string]string {
	given := map[string]string{}
	for _, v := range variables {
		if v.Flag != "" && cmd.Flags().Changed(v.Flag) {
			given[v.Name] = cmd.Flags().Lookup(v.Flag).Value.String()
		}
	}
	return given
}
