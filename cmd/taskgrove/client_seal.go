package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// sealCommand looks after the keys that values are sealed with.
func sealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "seal",
		Short: "Look after the keys that values are sealed with",
		Long: "Coordinators seal values of tasks with data keys, which a master key wraps. What is stored is sealed anew after the keys were changed. These commands\n" +
			"are for admins of the cluster.",
		GroupID: groupClient,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(sealStatusCommand(), sealRotateCommand(), sealRewrapCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

func sealStatusCommand() *cobra.Command {
	return clientCommand("status", "Show how values are sealed", "Shows whether values are sealed, with which data keys, and how far sealing stored values anew has come.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			status, err := s.SealStatus(ctx)
			if err != nil {
				return err
			}
			return s.print(status, func(w io.Writer) { printSealStatus(w, status) })
		})
}

func printSealStatus(w io.Writer, s *client.SealStatus) {
	fmt.Fprintf(w, "values are sealed: %s\nmaster key: %s\nsecret of tokens: generation %d\n", yesNo(s.Sealed), oneLine(orNone(s.Master)), s.Generation)
	state := "done"
	switch {
	case s.Round == 0:
		state = "none yet"
	case s.UnderWay:
		state = "under way"
	}
	fmt.Fprintf(w, "round %d over stored values: %s, %d rows\n", s.Round, state, s.Rows)
	printSealKeys(w, s.Keys)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func printSealKeys(w io.Writer, keys []client.SealKey) {
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "KEY\tNAMESPACE\tMASTER KEY\tMADE\tRETIRED")
		for _, k := range keys {
			namespace, retired := k.Namespace, "-"
			if namespace == "" {
				namespace = "(cluster)"
			}
			if !k.Retired.IsZero() {
				retired = k.Retired.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", k.Number, oneLine(namespace), oneLine(k.Master), k.Created.Format(time.RFC3339), retired)
		}
	})
}

func sealRotateCommand() *cobra.Command {
	var tokens bool
	var cmd *cobra.Command
	cmd = clientCommand("rotate", "Make new data keys",
		"Makes new data keys for all namespaces that have one and for the cluster, or for the one that --namespace names. Values are sealed with them from then on; those that are\n"+
			"stored are sealed anew in the background, and then the old keys are deleted. With --tokens it changes the secret of attempts' tokens instead.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			of := ""
			if f := cmd.Flag("namespace"); f != nil && f.Changed {
				of = f.Value.String()
			}
			switch {
			case tokens && of != "":
				return usage("--tokens goes with no namespace")
			case tokens:
				n, err := s.RotateTokens(ctx)
				if err != nil {
					return err
				}
				return s.print(map[string]int{"generation": n}, func(w io.Writer) { fmt.Fprintf(w, "generation %d of the secret of tokens has begun\n", n) })
			}
			keys, err := s.RotateDataKeys(ctx, of)
			if err != nil {
				return err
			}
			return s.print(keys, func(w io.Writer) { printSealKeys(w, keys) })
		})
	cmd.Flags().BoolVar(&tokens, "tokens", false, "change the secret of attempts' tokens instead")
	return cmd
}

func sealRewrapCommand() *cobra.Command {
	return clientCommand("rewrap", "Wrap data keys with the current master key",
		"Wraps with the current master key all data keys that another one wraps. After that the other one is not needed any more for values.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			n, err := s.RewrapDataKeys(ctx)
			if err != nil {
				return err
			}
			return s.print(map[string]int{"keys": n}, func(w io.Writer) { fmt.Fprintf(w, "%d data keys were wrapped anew\n", n) })
		})
}
