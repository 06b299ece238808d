package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/taskgrove/taskgrove/client"
)

// topLive shows overviews on a terminal until somebody presses q. A first look that fails is an error; after that it goes on.
func (s *session) topLive(ctx context.Context, screen *os.File, interval time.Duration) error {
	m := &topModel{server: s.server, interval: interval, table: allTables}
	r := &rateMeter{}
	m.look = func() (*overview, error) { return s.overview(ctx, r) }
	var err error
	if m.last, err = m.look(); err != nil {
		return err
	}
	in, ok := s.in.(*os.File)
	if !ok {
		in = os.Stdin
	}
	for i := range topTables {
		m.sorts = append(m.sorts, order{topTables[i].sort, topTables[i].down})
	}
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(screen), tea.WithoutSignalHandler())
	_, err = p.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, tea.ErrInterrupted):
		return nil
	case m.fatal != nil:
		return m.fatal
	}
	return err
}

const allTables = -1

// order is what a table is sorted by.
type order struct {
	column int
	down   bool
}

// topModel is what is on the screen. One goroutine, that of the program.
type topModel struct {
	server        string
	interval      time.Duration
	look          func() (*overview, error) // one at a time
	looking       bool
	last          *overview
	away          string // why the last look failed; empty: it did not
	fatal         error
	paused, help  bool
	table, at     int // which one is shown, and its first row
	sorts         []order
	filter        string
	typing        bool // the filter is being typed
	width, height int
}

type (
	looked struct {
		o   *overview
		err error
	}
	lookAgain struct{}
)

// Init implements tea.Model.
func (m *topModel) Init() tea.Cmd { return m.wait() }

func (m *topModel) wait() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return lookAgain{} })
}

// Update implements tea.Model.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case lookAgain:
		if m.looking {
			return m, nil
		}
		if m.paused {
			return m, m.wait()
		}
		m.looking = true
		return m, func() tea.Msg {
			o, err := m.look()
			return looked{o, err}
		}
	case looked:
		m.looking = false
		return m, m.took(msg)
	case tea.KeyPressMsg:
		return m, m.press(msg)
	}
	return m, nil
}

// took takes the answers of a look. Coordinators that are away come back; what else goes wrong stays wrong.
func (m *topModel) took(l looked) tea.Cmd {
	switch {
	case l.err == nil:
		m.last, m.away = l.o, ""
	case errors.Is(l.err, client.ErrUnavailable) || errors.Is(l.err, context.DeadlineExceeded):
		m.away = "no coordinator answers; trying again"
	case errors.Is(l.err, context.Canceled):
		return tea.Quit
	default:
		m.fatal = l.err
		return tea.Quit
	}
	return m.wait()
}

func (m *topModel) press(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	if key == "ctrl+l" { // somebody else wrote onto the screen
		return tea.ClearScreen
	}
	if m.typing {
		switch key {
		case "enter":
			m.typing = false
		case "esc":
			m.typing, m.filter = false, ""
		case "backspace":
			if r := []rune(m.filter); len(r) > 0 {
				m.filter = string(r[:len(r)-1])
			}
		case "ctrl+c":
			return tea.Quit
		default:
			if text := msg.Key().Text; text != "" && len(m.filter) < 100 {
				m.filter += harmless(text, "")
			}
		}
		m.at = 0
		return nil
	}
	page := max(1, m.height-6)
	switch key {
	case "q", "ctrl+c":
		return tea.Quit
	case "0", "1", "2", "3", "4":
		m.table, m.at = int(key[0])-'1', 0
	case "tab":
		m.table, m.at = (m.table+2)%(len(topTables)+1)-1, 0
	case "s":
		o := &m.sorts[max(m.table, 0)]
		o.column = (o.column + 1) % len(topTables[max(m.table, 0)].head)
	case "r":
		m.sorts[max(m.table, 0)].down = !m.sorts[max(m.table, 0)].down
	case "/":
		m.typing = true
	case "esc":
		m.filter, m.help, m.at = "", false, 0
	case "p", "space":
		m.paused = !m.paused
	case "+", "=":
		m.interval = min(m.interval*2, time.Minute)
	case "-":
		m.interval = max(m.interval/2, topLeast)
	case "?", "h":
		m.help = !m.help
	case "down", "j":
		m.at++
	case "up", "k":
		m.at = max(0, m.at-1)
	case "pgdown":
		m.at += page
	case "pgup":
		m.at = max(0, m.at-page)
	case "g", "home":
		m.at = 0
	case "G", "end":
		m.at = 1 << 30
	}
	return nil
}

// View implements tea.Model.
func (m *topModel) View() tea.View {
	v := tea.NewView(m.draw(time.Now()))
	v.AltScreen = true
	return v
}

// Escape sequences of the only styles there are.
const (
	bold   = "\x1b[1m"
	turned = "\x1b[7m"
	plainS = "\x1b[m"
)

// draw makes the lines of the screen; none is wider, and there are no more.
func (m *topModel) draw(now time.Time) string {
	width, height := cmp.Or(m.width, 80), cmp.Or(m.height, 24)
	lines := []string{cut(m.headline(now), width), cut(m.summary(), width)}
	if m.help {
		for line := range strings.Lines(topHelp) {
			lines = append(lines, cut(strings.TrimRight(line, "\n"), width))
		}
	}
	room := height - len(lines) - 1
	if m.table >= 0 {
		lines = append(lines, m.section(m.table, room, width, m.at)...)
	} else {
		lines = append(lines, m.sections(room, width)...)
	}
	lines = lines[:min(len(lines), height-1)]
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, cut(m.footer(), width)), "\n")
}

const topHelp = `
1 pools  2 workers  3 coordinators  4 trees  0 all  tab next   s sort by the next column  r turn the order
/ filter, Esc ends it   arrows PgUp PgDn g G move   p or space stop and go on   + - interval   q end
`

func (m *topModel) headline(now time.Time) string {
	state := ""
	switch {
	case m.away != "":
		state = fmt.Sprintf("  %s (what is shown is %s old)", m.away, now.Sub(m.last.At).Round(time.Second))
	case m.paused:
		state = "  stopped: p goes on"
	}
	return fmt.Sprintf("%s  %s  every %s%s", oneLine(m.server), m.last.At.Format(time.TimeOnly), m.interval, state)
}

func (m *topModel) summary() string {
	ready, running, slots, alive := 0, 0, 0, 0
	in, out := 0.0, 0.0
	for i := range m.last.Pools {
		p := &m.last.Pools[i]
		ready, running, slots = ready+p.Ready+p.Queued, running+p.Running, slots+p.Capacity
		in, out = in+value(p.StartedPerSecond), out+value(p.EndedPerSecond)
	}
	for i := range m.last.Workers {
		if s := m.last.Workers[i].State; s == "alive" || s == "draining" {
			alive++
		}
	}
	return fmt.Sprintf("%d running of %d slots, %d ready, %s begin and %s end a second; %s, %s", running, slots, ready, perSecond(&in), perSecond(&out), counted(alive, "worker"), counted(len(m.last.Coordinators), "coordinator"))
}

func (m *topModel) footer() string {
	switch {
	case m.typing:
		return "filter: " + m.filter + "_"
	case m.filter != "":
		return "filter: " + m.filter + " (Esc ends it)   ? help   q end"
	}
	return "? help   q end"
}

// sections are all tables, in the room that there is: each gets its share, and what another does not need.
func (m *topModel) sections(room, width int) (lines []string) {
	left := len(topTables)
	for i := range topTables {
		share := room / left
		if i == 0 {
			share = max(share, room/2)
		}
		part := m.section(i, share, width, 0)
		lines, room, left = append(lines, part...), room-len(part), left-1
	}
	return lines
}

// section is one table from a row on, in at most so many lines.
func (m *topModel) section(i, room, width, from int) (lines []string) {
	if room < 3 {
		return nil
	}
	t, o := &topTables[i], m.sorts[i]
	rows := m.selected(i)
	shown := room - 3 // an empty line, the name, the head
	from = max(0, min(from, len(rows)-shown))
	if m.table == i {
		m.at = from
	}
	part := rows[from:min(len(rows), from+shown)]
	head := slices.Clone(t.head)
	head[o.column] += map[bool]string{true: "↓", false: "↑"}[o.down]
	widths := make([]int, len(head))
	for c := range head {
		widths[c] = columns(head[c])
		for _, r := range part {
			widths[c] = max(widths[c], min(columns(r.cells[c]), 40))
		}
	}
	line := func(cells []string) string {
		var b strings.Builder
		for c, cell := range cells {
			if c > 0 {
				b.WriteString("  ")
			}
			b.WriteString(pad(cell, widths[c]))
		}
		return cut(strings.TrimRight(b.String(), " "), width)
	}
	name := fmt.Sprintf("%s (%d)", t.name, len(rows))
	if len(part) < len(rows) {
		name = fmt.Sprintf("%s (%d to %d of %d)", t.name, from+1, from+len(part), len(rows))
	}
	if note := t.note(m.last); note != "" {
		name += ", " + note
	}
	lines = append(lines, "", bold+cut(name, width)+plainS, turned+line(head)+plainS)
	for _, r := range part {
		lines = append(lines, line(r.cells))
	}
	return lines
}

// selected are the rows of a table that the filter lets through, sorted.
func (m *topModel) selected(i int) []topRow {
	rows := topTables[i].rows(m.last)
	if m.filter != "" {
		want := strings.ToLower(m.filter)
		rows = slices.DeleteFunc(rows, func(r topRow) bool {
			return !slices.ContainsFunc(r.cells, func(c string) bool { return strings.Contains(strings.ToLower(c), want) })
		})
	}
	o := m.sorts[i]
	slices.SortStableFunc(rows, func(a, b topRow) int {
		n := compareKeys(a.keys[o.column], b.keys[o.column])
		if o.down {
			n = -n
		}
		return cmp.Or(n, compareKeys(a.keys[0], b.keys[0]))
	})
	return rows
}

// compareKeys compares two keys of one column.
func compareKeys(a, b any) int {
	switch x := a.(type) {
	case int:
		return cmp.Compare(x, b.(int))
	case float64:
		return cmp.Compare(x, b.(float64))
	case time.Duration:
		return cmp.Compare(x, b.(time.Duration))
	case string:
		return cmp.Compare(x, b.(string))
	}
	return 0
}
