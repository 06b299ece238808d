package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/taskgrove/taskgrove/client"
)

// bulk does something to all trees or tasks that flags select, where a command does it to those that are named.
type bulk struct {
	verb, past  string // "cancel", "cancelled"
	hint        string // what helps where some were refused; empty: nothing
	sel         selection
	yes, dryRun bool
	limit       int
	parallel    int
	journal     string
}

// bulkHelp says in a command's help what selects.
const bulkHelp = "Without a task, flags select what is meant, as those of \"list\" do: trees, or with --tasks, --tree, --state or --executor tasks.\n" +
	"It is shown and asked about first. A run that was cut off goes on when the command is given again.\n"

func (b *bulk) bind(cmd *cobra.Command) {
	b.sel.bind(cmd)
	f := cmd.Flags()
	f.BoolVarP(&b.yes, "yes", "y", false, "do not ask; what has no terminal to ask on needs it")
	f.BoolVar(&b.dryRun, "dry-run", false, "show what is selected and do nothing")
	f.IntVar(&b.limit, "limit", 0, "how many at most; 0: all that are selected")
	f.IntVar(&b.parallel, "parallel", 8, "how many at once, 1 to 64")
	f.StringVar(&b.journal, "journal", "", "note in this file what was done, and pass over what it names")
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		if len(given) == 0 && (b.asked() || b.yes) {
			return nil
		}
		if len(given) > 0 && b.asked() {
			return usage("%s takes tasks or flags that select, not both\n%s", cmd.Name(), usageOf(cmd))
		}
		if len(given) == 0 {
			return usage("%s needs a task, or flags that select, such as --status or --name\n%s", cmd.Name(), usageOf(cmd))
		}
		return args(cmd, given)
	}
}

// asked reports whether flags select something, or want to.
func (b *bulk) asked() bool {
	return b.sel.selects() || b.sel.tasks || b.dryRun || b.limit != 0 || b.journal != ""
}

// shownFirst is how many of what is selected a person sees before it is asked about.
const shownFirst = 10

// run selects, shows, asks and does. do says in one or two words what became of one; what it refuses does not end the run.
func (b *bulk) run(ctx context.Context, s *session, do func(ctx context.Context, id string) (became string, err error)) error {
	switch err := b.sel.check(); {
	case err != nil:
		return err
	case !b.sel.selects():
		return usage("nothing is selected: name tasks, or give flags that select, such as --status or --user")
	case b.limit < 0:
		return usage("--limit: takes a number from 0 on, not %d", b.limit)
	case b.parallel < 1 || b.parallel > 64:
		return usage("--parallel: takes a number from 1 to 64, not %d", b.parallel)
	}
	done, err := openJournal(b.journal)
	if err != nil {
		return codedError{err, exitUsage}
	}
	defer done.close()
	found, err := b.gather(ctx, s, done)
	if err != nil {
		return err
	}
	if len(found.ids) == 0 {
		return s.note("no %s matches", found.what)
	}
	if b.dryRun {
		return found.print(s, b.past)
	}
	if err := b.confirm(s, found); err != nil {
		return err
	}
	return b.each(ctx, s, found, done, do)
}

// selected are what flags select.
type selected struct {
	what  string // one of them
	ids   []string
	first func(io.Writer) // writes the first rows
}

func (b *bulk) gather(ctx context.Context, s *session, done *journal) (*selected, error) {
	if !b.sel.tasks {
		return gather(s, s.trees(ctx, b.sel), b.limit, done)
	}
	l, err := s.tasks(ctx, b.sel)
	if err != nil {
		return nil, err
	}
	return gather(s, l, b.limit, done)
}

func gather[T any](s *session, l listing[T], limit int, done *journal) (*selected, error) {
	out := &selected{what: l.what}
	var first []T
	for item, err := range pages(l.page) {
		if err != nil {
			return nil, err
		}
		if limit > 0 && len(out.ids) == limit {
			break
		}
		id := l.id(item)
		if done.has(id) {
			continue
		}
		out.ids = append(out.ids, id)
		if len(first) < shownFirst {
			first = append(first, item)
		}
	}
	out.first = func(w io.Writer) { l.write(w, s, first) }
	return out, nil
}

// bulkPage is how many are read at once: tasks may have large inputs.
const bulkPage = 250

// pages are all items of a list.
func pages[T any](page func(cursor string, limit int) (*client.Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			got, err := page(cursor, bulkPage)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range got.Items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = got.Next; cursor == "" {
				return
			}
		}
	}
}

// count is how many there are, in words.
func (f *selected) count() string { return counted(len(f.ids), f.what) }

// show writes the first of what is selected.
func (f *selected) show(w io.Writer) {
	f.first(w)
	if more := len(f.ids) - shownFirst; more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
}

// print is what a run without effect says; for programs, each id.
func (f *selected) print(s *session, past string) error {
	if !s.forPeople() {
		for _, id := range f.ids {
			if err := s.print(struct{ ID string }{id}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	return s.print(nil, func(w io.Writer) {
		f.show(w)
		fmt.Fprintf(w, "%s would be %s\n", f.count(), past)
	})
}

// confirm asks, unless it must not.
func (b *bulk) confirm(s *session, found *selected) error {
	if b.yes {
		return nil
	}
	return s.confirm(fmt.Sprintf("%s would be %s", found.count(), b.past), "--yes does it, --dry-run shows them", found.show, b.verb+" "+found.count())
}

// confirm shows what is meant, and asks whether to go on: verb it. Where there is no terminal to ask on, it refuses, with what would be and what helps.
func (s *session) confirm(would, helps string, show func(w io.Writer), verb string) error {
	if f, ok := s.in.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return usage("%s, and there is no terminal to ask on: %s", would, helps)
	}
	show(s.notes)
	if _, err := fmt.Fprintf(s.notes, "%s? [y/N] ", verb); err != nil {
		return err
	}
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return codedError{errors.New("nothing was done"), exitError}
	}
	return nil
}

// tally counts what became of what was selected.
type tally struct {
	mu      sync.Mutex
	became  map[string]int
	refused int
	done    atomic.Int64
}

// maxRefusals is how many refusals are told one by one.
const maxRefusals = 20

// each does it to all, several at once. It ends early when the cluster can't be reached, or the person has enough.
func (b *bulk) each(ctx context.Context, s *session, found *selected, done *journal, do func(ctx context.Context, id string) (string, error)) error {
	t := &tally{became: map[string]int{}}
	stop := t.progress(s, len(found.ids))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(b.parallel)
	for _, id := range found.ids {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			became, err := b.once(groupCtx, id, do)
			if err != nil && (errors.Is(err, client.ErrUnavailable) || groupCtx.Err() != nil) {
				return err
			}
			t.done.Add(1)
			if err != nil {
				return t.refuse(s, id, err)
			}
			return errors.Join(done.note(id), t.tell(s, id, became))
		})
	}
	err := group.Wait()
	stop()
	return t.sum(ctx, s, b, found, err)
}

// bulkPause is how long a bulk waits before it tries one again; it doubles from try to try. It is a variable for tests.
var bulkPause = 100 * time.Millisecond

// once does it, and again while the cluster has too much to do.
func (b *bulk) once(ctx context.Context, id string, do func(ctx context.Context, id string) (string, error)) (became string, err error) {
	for try := range 6 {
		if became, err = do(ctx, id); !errors.Is(err, client.ErrUnavailable) {
			return became, err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(bulkPause << try):
		}
	}
	return "", err
}

// tell prints what became of one, for programs.
func (t *tally) tell(s *session, id, became string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.became[became]++
	if s.forPeople() {
		return nil
	}
	return s.print(struct{ ID, Became string }{id, became}, nil)
}

// refuse notes why one was refused.
func (t *tally) refuse(s *session, id string, why error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused++; t.refused > maxRefusals {
		return nil
	}
	text := why.Error()
	if !strings.Contains(text, " "+id+": ") {
		text = id + ": " + text
	}
	return s.note("%s", oneLine(text))
}

// sum says what was done and what is left.
func (t *tally) sum(ctx context.Context, s *session, b *bulk, found *selected, err error) error {
	var parts []string
	for _, became := range slices.Sorted(maps.Keys(t.became)) {
		parts = append(parts, fmt.Sprintf("%d %s", t.became[became], became))
	}
	if t.refused > 0 {
		parts = append(parts, fmt.Sprintf("%d refused", t.refused))
	}
	left := len(found.ids) - int(t.done.Load())
	if left > 0 {
		parts = append(parts, fmt.Sprintf("%d left", left))
	}
	if told := s.note("%s: %s", found.count(), strings.Join(parts, ", ")); told != nil {
		return told
	}
	switch {
	case ctx.Err() != nil:
		return codedError{fmt.Errorf("interrupted: the same command goes on with the %d that are left", left), exitInterrupted}
	case err != nil:
		return err
	case t.refused > 0:
		return codedError{fmt.Errorf("%d of %s could not be %s%s", t.refused, found.count(), b.past, b.hint), exitError}
	}
	return nil
}

// progress says on a terminal how far it is. stop ends that.
func (t *tally) progress(s *session, all int) (stop func()) {
	h, _ := s.notes.(harmlessWriter)
	f, ok := h.Writer.(*os.File)
	if !ok || !s.forPeople() || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var drawn sync.WaitGroup
	drawn.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				fmt.Fprint(f, "\r\033[K")
				return
			case <-tick.C:
				fmt.Fprintf(f, "\r%d of %d\033[K", t.done.Load(), all)
			}
		}
	})
	return func() { cancel(); drawn.Wait() }
}

// journal is a file of ids that were done. Without a path it has none and keeps none.
type journal struct {
	mu   sync.Mutex
	file *os.File
	ids  map[string]bool
}

func openJournal(path string) (*journal, error) {
	if path == "" {
		return &journal{}, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--journal: %w", err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("--journal: %w", err)
	}
	j := &journal{file: file, ids: map[string]bool{}}
	whole := text[:bytes.LastIndexByte(text, '\n')+1] // a line that was cut off names nothing
	if len(whole) < len(text) {
		err = file.Truncate(int64(len(whole)))
	}
	for id := range strings.Lines(string(whole)) {
		j.ids[strings.TrimSuffix(id, "\n")] = true
	}
	return j, err
}

func (j *journal) has(id string) bool { return j.ids[id] }

func (j *journal) note(id string) error {
	if j.file == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := fmt.Fprintln(j.file, id)
	return err
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close()
	}
}
