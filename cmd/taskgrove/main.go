// Command taskgrove runs task trees: a whole cluster in one process (dev), its parts (coordinator, worker), and the
// commands that speak to a running cluster.
//
// It owns flags, signals, the ready file and the output; package node makes the processes. It must not know how any part
// works.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/internal/config"
)

func main() {
	guardian.Hook() // a guardian of commands ends here
	config.TuneGC(config.GCCoordinator)
	os.Exit(runProgram(os.Args[1:], os.Stderr))
}

// Exit codes that every command has in common.
const (
	exitOK    = 0
	exitError = 1 // something went wrong on the way
	exitUsage = 2 // a wrong flag, argument or variable: nothing was done
)

// runProgram runs one command and answers its exit code.
func runProgram(args []string, stderr io.Writer) int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	started := false
	root := newRoot(&started)
	if path, rest := plugin(root, args); path != "" {
		return report(become(path, rest), true, stderr)
	}
	root.SetArgs(args)
	root.SetIn(&endingInput{ctx: ctx, from: os.Stdin})
	return report(root.ExecuteContext(ctx), started, stderr)
}

// report prints an error, once, and tells its exit code. Errors with a code of their own have a method ExitCode; those
// without a text are not printed.
func report(err error, started bool, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[errSignal](err); ok { // what the command was about to do is left
		fmt.Fprintln(stderr, "taskgrove: interrupted")
		return exitInterrupted
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "taskgrove:", strings.TrimRight(harmless(text, "\n\t"), "\n"))
	}
	if coded, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		return coded.ExitCode()
	}
	if _, ok := errors.AsType[config.Faults](err); ok || !started {
		return exitUsage
	}
	return exitError
}

// errSignal is the cause of a context that a signal ended.
type errSignal struct{ os.Signal }

func (e errSignal) Error() string { return e.Signal.String() }

// untilSignal ends with SIGINT or SIGTERM. A second one has its usual effect: it kills.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1) // one is enough: the first ends the context
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			cancel(errSignal{s})
		case <-ctx.Done():
		}
		signal.Stop(signals)
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}
