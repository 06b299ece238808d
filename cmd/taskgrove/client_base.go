package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
)

// Exit codes of the client commands, beside those of every command; docs/cli.md lists them.
const (
	exitTreeFailed    = 3 // --wait, --watch: the tree failed
	exitTreeCancelled = 4 // --wait, --watch: the tree was cancelled; rerun: the task was, and nothing was started
	exitUnreachable   = 5 // no coordinator could be reached, or it has too much to do
	// 6 is that of verify, 8 that of apply --dry-run
	exitOptionalFailed = 7 // --wait, --watch: the tree failed by the protocol, but only optional tasks did
	exitInterrupted    = 130
)

// groupClient holds the commands that speak to a running cluster.
const groupClient = "client"

// clientCommands are the commands that speak to a running cluster.
func clientCommands() []*cobra.Command {
	return []*cobra.Command{
		submitCommand(), generateCommand(), rerunCommand(), getCommand(), treeCommand(), listCommand(), watchCommand(), cancelCommand(), skipCommand(), pauseCommand(), resumeCommand(), pausesCommand(), holdCommand(), releaseCommand(), holdsCommand(), eraseCommand(), erasuresCommand(),
		updateCommand(), deleteCommand(), copyCommand(), signalCommand(), approveCommand(), rejectCommand(), approvalsCommand(),
		logsCommand(), artifactsCommand(), whyCommand(), verifyCommand(), doctorCommand(), topCommand(), coordinatorsCommand(), workersCommand(), poolsCommand(), limitsCommand(), lockCommand(), scheduleCommand(), executorsCommand(),
		applyCommand(), usageCommand(), auditCommand(), webhooksCommand(), contextCommand(), tokenCommand(), keysCommand(), namespacesCommand(), sealCommand(), authCommand(), rolesCommand(), loginCommand(), logoutCommand(), mcpCommand(), tasksCommand(), runFlowGroup(), flowCommand(), bundleCommand(), profileCommand(), importCommand(),
	}
}

// codedError ends the process with a code.
type codedError struct {
	error
	code int
}

// ExitCode is what the process ends with.
func (e codedError) ExitCode() int { return e.code }

// Unwrap is the error itself.
func (e codedError) Unwrap() error { return e.error }

// usage is a wrong command line that only the command could see.
func usage(format string, args ...any) error {
	return codedError{fmt.Errorf(format, args...), exitUsage}
}

// session is one run of a client command: the connection, where answers come from and where output goes. Results go to out, notes to notes.
type session struct {
	*client.Client
	in         io.Reader
	out, notes io.Writer
	format     format
	server     string
}

// clientCommand makes a command that has a connection.
func clientCommand(use, short, long string, args cobra.PositionalArgs, do func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: args, GroupID: groupClient, ValidArgsFunction: cobra.NoFileCompletions}
	clientFlags(cmd)
	run(cmd, do)
	return cmd
}

// clientFlags gives a command the flags of all that have a connection. A letter that it uses already stays what it is.
func clientFlags(cmd *cobra.Command) {
	outputFlag(cmd, formatText, formatJSON, formatYAML)
	bind(cmd, config.Variables(&config.Client{}))
	mustComplete(cmd, "context", completeContexts)
	mustComplete(cmd, "namespace", completeNamespaces)
}

// run makes a command of [clientCommand] do something.
func run(cmd *cobra.Command, do func(ctx context.Context, s *session, args []string) error) {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := connect(cmd)
		if err != nil {
			return err
		}
		defer s.Close() //nolint:errcheck // nothing is left to be sent
		s.format = cmd.Flag("output").Value.(*formatFlag).format
		return s.explain(cmd.Context(), do(cmd.Context(), s, args))
	}
}

// connect makes the connection of a command, as its flags and the environment say.
func connect(cmd *cobra.Command) (*session, error) {
	cfg, local := localSettings(cmd.Context())
	if !local {
		named, err := clientSettings(flags(cmd, config.Variables(&config.Client{})))
		if err != nil {
			return nil, codedError{err, exitUsage}
		}
		cfg = &named
	}
	options, err := clientOptions(cfg)
	if err != nil {
		return nil, codedError{err, exitUsage}
	}
	c, err := client.New(cfg.Server, options...)
	if err != nil {
		return nil, codedError{err, exitUsage}
	}
	return &session{Client: c, in: cmd.InOrStdin(), out: cmd.OutOrStdout(), notes: harmlessWriter{cmd.ErrOrStderr()}, server: cfg.Server}, nil
}

// clientOptions are what the settings say about the connection, and who calls.
func clientOptions(cfg *config.Client) ([]client.Option, error) {
	options := []client.Option{client.WithCallTimeout(cfg.RequestTimeout), client.WithNamespace(string(cfg.Namespace))}
	switch {
	case cfg.TokenFile != "":
		if _, err := os.Stat(cfg.TokenFile); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		options = append(options, client.WithTokenFile(cfg.TokenFile))
	case cfg.Token != "":
		options = append(options, client.WithToken(cfg.Token.Reveal()))
	default:
		if token := loginOf(cfg.Server); token != nil {
			options = append(options, client.WithTokenFrom(token))
		}
	}
	if cfg.PlainToken {
		options = append(options, client.WithPlainToken())
	}
	if !cfg.Encrypted() {
		return options, nil
	}
	return append(options, client.WithTLSFiles(tlsFiles(cfg))), nil
}

// tlsFiles are what the settings say about the encryption of the connection.
func tlsFiles(cfg *config.Client) client.TLSFiles {
	return client.TLSFiles{CA: cfg.CAFile, Cert: cfg.CertFile, Key: cfg.KeyFile, ServerName: cfg.ServerName}
}

// explain gives errors their exit code, and says what a person can do about them.
func (s *session) explain(ctx context.Context, err error) error {
	_, coded := errors.AsType[codedError](err)
	switch {
	case err == nil || coded:
		return err
	case ctx.Err() != nil:
		return codedError{errors.New("interrupted; what runs in the cluster goes on"), exitInterrupted}
	case errors.Is(err, client.ErrBusy):
		return codedError{err, exitUnreachable}
	case errors.Is(err, client.ErrUnavailable) && tlsAdvice(err) != "":
		return codedError{fmt.Errorf("%w\n%s", err, tlsAdvice(err)), exitUnreachable}
	case errors.Is(err, client.ErrUnavailable):
		return codedError{fmt.Errorf("%w\nno coordinator answers at %s, or it has too much to do: start one with \"taskgrove dev\", or name another with --server", err, s.server), exitUnreachable}
	}
	if errors.Is(err, client.ErrUnauthenticated) {
		return codedError{fmt.Errorf("%w\nthe coordinator at %s asks callers who they are: TASKGROVE_TOKEN or --token-file gives a token, which \"taskgrove token create\" makes where the secret is; \"taskgrove login\" signs in at an issuer", err, s.server), exitError}
	}
	if bad, ok := errors.AsType[*client.InvalidError](err); ok {
		if len(bad.Faults) == 0 {
			return codedError{err, exitUsage}
		}
		var b strings.Builder
		b.WriteString("not accepted:")
		for _, f := range bad.Faults {
			b.WriteString("\n  ")
			if !strings.HasPrefix(f.Reason, strings.TrimSuffix(f.Field, ".")) {
				b.WriteString(f.Field + ": ")
			}
			b.WriteString(f.Reason)
		}
		if bad.More > 0 {
			fmt.Fprintf(&b, "\n  and %d more", bad.More)
		}
		return codedError{errors.New(b.String()), exitUsage}
	}
	return err
}

// outcome is the exit code of a tree that was waited for on behalf of one of its tasks: where only a part was executed,
// that task's.
func (s *session) outcome(ctx context.Context, t *client.Tree, id string) error {
	if err := s.noteExits(ctx, t); err != nil {
		return err
	}
	if t.Status == client.StatusPending && id != t.ID {
		task, err := s.Task(ctx, id)
		if err != nil || task.Status == client.StatusCompleted {
			return err
		}
	}
	switch t.Status {
	case client.StatusFailed:
		if t.OnlyOptionalFailed {
			return codedError{fmt.Errorf("tree %s: all but %d optional completed%s", t.ID, t.Failed, s.firstFailed(ctx, t)), exitOptionalFailed}
		}
		return codedError{fmt.Errorf("tree %s failed: %d failed, %d blocked of %s%s", t.ID, t.Failed, t.Blocked, counted(t.Tasks, "task"), s.firstFailed(ctx, t)),
			exitTreeFailed}
	case client.StatusCancelled:
		return codedError{fmt.Errorf("tree %s was cancelled%s", t.ID, s.whyCancelled(ctx, t)), exitTreeCancelled}
	case client.StatusPending: // spec 9: a tree that is stuck is no success
		return codedError{fmt.Errorf("tree %s does not run: held are %d of %s; rerun starts them", t.ID, t.Held, counted(t.Tasks, "task")), exitError}
	}
	return nil
}
