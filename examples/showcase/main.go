// Command showcase runs one tree with eleven executors on real services: the nightly report of a shop.
//
// It starts the services and a cluster of its own, submits tree.yaml, shows what its tasks say while they run, and what arrived where.
// All of it listens on free loopback ports, and is gone afterwards, also when it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	var s showcase
	flag.StringVar(&s.taskgrove, "taskgrove", "bin/taskgrove", "the binary; make build makes it")
	flag.StringVar(&s.source, "source", "examples/showcase", "directory of this example")
	without := flag.String("without", "", "executors to do without, as if this machine could not run them: python_executor,docker_executor,ssh_executor")
	flag.Parse()
	s.without = strings.FieldsFunc(*without, func(r rune) bool { return r == ',' })
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "showcase:", err)
		os.Exit(1)
	}
}

// showcase is one run. The first three fields come from the flags.
type showcase struct {
	taskgrove, source string
	without           []string
	temp              string // where all files are kept meanwhile; empty: the usual place
	out               io.Writer
	services          *services
	used              map[string]bool // executors that the tree's tasks have run with
}

// run does all of it. Whatever it started has ended when it returns, also when ctx ends early.
func (s *showcase) run(ctx context.Context, out io.Writer) (err error) {
	s.out, s.used = out, map[string]bool{}
	if s.source, err = filepath.Abs(s.source); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.temp, "taskgrove-showcase-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { // where root's Postgres, which is another user, can pass
		return err
	}
	s.say("== starting the services")
	s.services = &services{dir: dir, source: s.source, off: map[string]string{}}
	for _, executor := range s.without {
		s.services.off[executor] = "it was left out on demand"
	}
	defer func() { err = errors.Join(err, s.services.stop()) }()
	if err := s.services.start(ctx); err != nil {
		return err
	}
	s.services.describe(out)
	s.say("== starting a cluster")
	c, err := startCluster(ctx, s.taskgrove, s.services)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	return s.report(ctx, c)
}

func (s *showcase) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
