package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
	eastasian "golang.org/x/text/width"

	"github.com/taskgrove/taskgrove/client"
)

// redraw is how often a live view is drawn at most.
const redraw = 150 * time.Millisecond

// watchLive redraws the tree on a terminal until its execution ends. It reads the tree once a redraw, however many
// events there are, and spends most of its time not reading. It outlives coordinators: what it showed last stays.
func watchLive(ctx context.Context, s *session, id string, to *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	said := &utterances{}
	changed, over := s.changes(ctx, id, said, &watching)

	v := &screen{file: to}
	fmt.Fprint(to, "\x1b[?25l") // no cursor
	defer fmt.Fprint(to, "\x1b[?25h")
	still := &standstill{}
	for ended := false; ; {
		began := time.Now()
		tree, tasks, err := s.look(ctx, id)
		switch {
		case err == nil:
			reasons := still.look(ctx, s, tree, id, time.Now())
			v.draw(func(width, height int) string {
				return liveView(tree, tasks, said.lines(width), reasons, width, height, time.Now())
			})
			if tree.Ended() || ended {
				return s.outcome(ctx, tree, id)
			}
		case errors.Is(err, client.ErrUnavailable) && v.drawn():
			v.note("no coordinator answers; trying again")
		default:
			return err
		}
		// Reading a large tree takes its time: at most a fifth of ours, and of the coordinator's for us.
		if err := pause(ctx, max(redraw, 4*time.Since(began))); err != nil {
			return err
		}
		second := time.NewTimer(time.Second) // running times go on
		select {
		case err = <-over:
			ended, over = true, nil
		case <-changed:
			err = nil
		case <-second.C:
			err = nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		second.Stop()
		if err != nil {
			return err
		}
	}
}

// changes tells when there may be something new to read of a tree, or was said, and, once, that there is nothing more to come, or why not. It ends with
// ctx; group waits for that.
func (s *session) changes(ctx context.Context, id string, said *utterances, group *sync.WaitGroup) (changed <-chan struct{}, over <-chan error) {
	news := make(chan struct{}, 1)
	end := make(chan error, 1)
	group.Go(func() {
		for e, err := range s.Watch(ctx, id, 0) {
			if err != nil || e.Type == client.EventFinal {
				end <- err
				return
			}
			said.hear(e)
			select {
			case news <- struct{}{}:
			default:
			}
		}
		end <- nil
	})
	return news, end
}

// pause waits, or returns the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wholeTree is the largest tree of which a live view reads all tasks; of larger ones it reads what runs and what failed.
const wholeTree = 500

// look reads a tree, and of its tasks what a live view shows.
func (s *session) look(ctx context.Context, id string) (tree *client.Tree, tasks []*client.Task, err error) {
	if tree, err = s.Tree(ctx, id); err != nil {
		return nil, nil, err
	}
	if tree.Tasks <= wholeTree {
		tasks, err = s.allTasks(ctx, client.TaskFilter{TreeOf: id})
		return tree, tasks, err
	}
	root, err := s.Task(ctx, tree.ID)
	if err != nil {
		return nil, nil, err
	}
	tasks = append(tasks, root)
	for _, status := range []client.Status{client.StatusInProgress, client.StatusFailed} {
		n := 0
		for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: id, Status: status}) {
			if err != nil {
				return nil, nil, err
			}
			if t.ID != root.ID {
				tasks = append(tasks, t)
			}
			if n++; n == 100 {
				break
			}
		}
	}
	return tree, tasks, nil
}

// screen is the part of a terminal that is drawn over and over.
type screen struct {
	file *os.File
	last []string // the lines that stand there
}

// drawn reports whether anything stands there.
func (v *screen) drawn() bool { return len(v.last) > 0 }

// draw replaces what stands there by what view makes for the terminal's size.
func (v *screen) draw(view func(width, height int) string) {
	width, height, err := term.GetSize(int(v.file.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	rows := 0 // a line may take several, where the terminal has become narrower since
	for _, line := range v.last {
		rows += max(1, (columns(line)+width-1)/width)
	}
	text := view(width, height-1)
	fmt.Fprint(v.file, up(min(rows, height-1)), text)
	v.last = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// note adds a line below what stands there, once.
func (v *screen) note(text string) {
	if v.last[len(v.last)-1] != text {
		fmt.Fprintln(v.file, text)
		v.last = append(v.last, text)
	}
}

// up goes back to the first of the rows drawn before and clears what is below.
func up(rows int) string {
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("\r\x1b[%dA\x1b[J", rows)
}

// liveView draws a tree in at most height lines of width columns: lines about the whole, a bar, and of its tasks those
// that fit: what runs and what failed first, then what is next, then what is done, each below what stands above it. Below them stand
// what was said last, and the reasons why nothing moves, if there are any.
func liveView(tree *client.Tree, tasks []*client.Task, said, reasons []string, width, height int, now time.Time) string {
	var lines []string
	lines = append(lines, header(tree, width, now)...)
	lines = append(lines, bar(tree.Progress, min(width, 60)))
	lines = lines[:min(len(lines), height)]
	below := reasonLines(reasons, (height-len(lines))/2, width)
	if room := (height - len(lines)) / 2; len(below)+len(said) <= room {
		below = append(said, below...)
	}
	all := branches(tasks)
	room := height - len(lines) - len(below)
	if len(all) > room || len(all) < tree.Tasks {
		room = max(0, room-1) // for the line that says so
	}
	shown := fitting(all, room, rank)
	short := shortTaskIDs(tasks)
	for _, at := range shown {
		lines = append(lines, taskLine(at, short[at.task.ID], width, now))
	}
	if len(shown) < tree.Tasks && len(lines)+len(below) < height {
		lines = append(lines, "… and "+counted(tree.Tasks-len(shown), "more task"))
	}
	var b strings.Builder
	for _, line := range append(lines, below...) {
		b.WriteString(cut(oneLine(line), width) + "\n")
	}
	return b.String()
}

// header is a tree in as few lines as the width needs: its status, its counts and how long it took are never cut, its name is.
func header(t *client.Tree, width int, now time.Time) (lines []string) {
	line := cut(oneLine(called(t.Name, t.ID)), max(12, width/3))
	for _, part := range summaryParts(t, now) {
		if columns(line)+len(partSeparator)+columns(part) > width {
			lines, line = append(lines, line), part
			continue
		}
		line += partSeparator + part
	}
	return append(lines, line)
}

// taskLine is a task in one line. Its short id is left out where the terminal is narrow, or where it is the name.
func taskLine(at branch, short string, width int, now time.Time) string {
	t := at.task
	name := strings.Repeat("  ", at.indent) + mark(t) + " " + oneLine(cmp.Or(t.Name, t.ID))
	id := ""
	if width >= 80 {
		id = pad(oneLine(short), shortest) + "  "
	}
	text := fmt.Sprintf("%s  %s%s  %8s  %s", pad(name, min(40, width/3)), id, pad(describe(t), 22), took(t.StartedAt, t.CompletedAt, now), t.Error)
	return strings.TrimRight(text, " ")
}

// reasonLines are the first of the reasons, in so many lines at most; those that are wider than the screen go on in the next line.
func reasonLines(reasons []string, most, width int) []string {
	if len(reasons) == 0 || most < 2 {
		return nil
	}
	lines := []string{"nothing moves:"}
	for _, reason := range reasons {
		lines = append(lines, wrap(reason, width)...)
	}
	if len(lines) > most {
		lines = append(lines[:most-1:most-1], "  …")
	}
	return lines
}

// wrap breaks a line between words. What goes on is indented as the line is, and a little more.
func wrap(line string, width int) (lines []string) {
	text := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(text)]
	line = indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case columns(line)+1+columns(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), indent+"    "+word
		}
	}
	return append(lines, line)
}

// standstill watches whether a tree moves.
type standstill struct {
	sequence int64     // of its last event, as it was seen last
	since    time.Time // when that was new, or something ran
	asked    time.Time // when the reasons were asked for
	reasons  []string
}

// look gives the reasons why the tree does not move; nothing while it does, or while nobody can say.
func (v *standstill) look(ctx context.Context, s *session, tree *client.Tree, id string, now time.Time) []string {
	if v.since.IsZero() || tree.Sequence != v.sequence || tree.Running > 0 || tree.Ended() {
		*v = standstill{sequence: tree.Sequence, since: now}
		return nil
	}
	if now.Sub(v.since) < stillAfter || now.Sub(v.asked) < stillAfter {
		return v.reasons
	}
	v.asked = now
	if reasons, err := s.reasonsOf(ctx, tree, id); err == nil {
		v.reasons = reasons
	}
	return v.reasons
}

// rank orders tasks by how much they tell: lower ones first.
func rank(t *client.Task) int {
	switch t.Status {
	case client.StatusInProgress:
		return 0
	case client.StatusFailed:
		return 1
	case client.StatusPending:
		if t.State == "delayed" || t.State == "ready" {
			return 2
		}
		return 3
	}
	return 4
}

func mark(t *client.Task) string {
	switch t.Status {
	case client.StatusCompleted:
		return "✓"
	case client.StatusFailed:
		return "✗"
	case client.StatusCancelled:
		return "-"
	case client.StatusInProgress:
		return "▶"
	}
	if t.State == "blocked" {
		return "!"
	}
	return "·"
}

func bar(progress float64, width int) string {
	inner := max(10, width-8)
	full := min(inner, int(progress*float64(inner)))
	return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("█", full), strings.Repeat("░", inner-full), 100*progress)
}

// columns is how many columns of a terminal a line takes.
func columns(line string) (n int) {
	for _, r := range line {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	switch {
	case r < 0x300: // nothing wide or combining is below
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	if k := eastasian.LookupRune(r).Kind(); k == eastasian.EastAsianWide || k == eastasian.EastAsianFullwidth {
		return 2
	}
	return 1
}

// cut shortens a line to at most n columns.
func cut(line string, n int) string {
	if columns(line) <= n {
		return line
	}
	if n < 1 {
		return ""
	}
	room := n - 1 // for the ellipsis
	for i, r := range line {
		if room -= columnsOf(r); room < 0 {
			return line[:i] + "…"
		}
	}
	return line
}

// pad is a line of exactly n columns.
func pad(line string, n int) string {
	line = cut(line, n)
	return line + strings.Repeat(" ", n-columns(line))
}
