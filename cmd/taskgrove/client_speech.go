package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/client"
)

// transcript prints what attempts tell live between the lines of events: texts as they come, and a line for each call of a tool or a model.
type transcript struct {
	speaker string        // whose text is being printed; empty: nobody's
	mid     bool          // in the middle of a line
	held    *client.Event // what the speaking task last reported meanwhile
}

// hold keeps what a task reports of its progress while its text is in the middle of a line; pause prints the latest. Else it does nothing
// and returns false.
func (t *transcript) hold(e *client.Event) bool {
	if e.Type != client.EventProgress || !t.mid || !strings.HasPrefix(t.speaker, e.TaskID+"\x00") {
		return false
	}
	t.held = e
	return true
}

// print prints the pieces of an event.
func (t *transcript) print(w io.Writer, e *client.Event) {
	for _, p := range e.Pieces {
		if p.Kind != client.PieceToken {
			t.pause(w)
			fmt.Fprintln(w, eventLine(&client.Event{At: e.At, Type: "live", TaskID: e.TaskID, Name: e.Name, Attempt: e.Attempt, Message: pieceLine(p)}))
			continue
		}
		if speaker := e.TaskID + "\x00" + p.Agent; speaker != t.speaker {
			t.pause(w)
			fmt.Fprintln(w, eventLine(&client.Event{At: e.At, Type: "live", TaskID: e.TaskID, Name: e.Name, Attempt: e.Attempt, Message: strings.TrimPrefix(p.Agent+" says:", " ")}))
			t.speaker = speaker
		}
		fmt.Fprint(w, p.Text)
		t.mid = !strings.HasSuffix(p.Text, "\n")
	}
}

// pause ends the text that is being printed, so that a line can follow.
func (t *transcript) pause(w io.Writer) {
	if t.mid {
		fmt.Fprintln(w)
	}
	if t.held != nil {
		fmt.Fprintln(w, eventLine(t.held))
	}
	*t = transcript{}
}

// longestPiece is how many characters of arguments and results of tools a line shows.
const longestPiece = 200

// pieceLine is a piece that is no part of a text, in one line.
func pieceLine(p client.Piece) string {
	text := cut(oneLine(p.Text), longestPiece)
	who := ""
	if p.Agent != "" {
		who = p.Agent + " "
	}
	switch p.Kind {
	case client.PieceModelCall:
		return who + "asks " + p.Name
	case client.PieceToolCall:
		return strings.TrimSpace(who + "calls " + p.Name + " " + text)
	case client.PieceToolResult:
		return strings.TrimSpace(who + "hears of " + p.Name + ": " + text)
	case client.PieceDropped:
		return "… " + text + " bytes are missing here …"
	}
	return strings.TrimSpace(who + string(p.Kind) + " " + p.Name + " " + text)
}

// utterances are the last words of attempts that speak, for a live view. Safe for concurrent use.
type utterances struct {
	mu     sync.Mutex
	tasks  []string          // ids, who spoke last at the end
	called map[string]string // by task
	last   map[string]string // by task: the end of what it said
}

// Of how many tasks, and how many bytes of each.
const (
	utterers       = 3
	utteranceBytes = 2 << 10
)

// hear takes what an event tells, and forgets who has ended.
func (u *utterances) hear(e *client.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch e.Type {
	case client.EventCompleted, client.EventSkipped, client.EventFailed, client.EventCancelled, client.EventRetry:
		u.forget(e.TaskID)
		return
	}
	if len(e.Pieces) == 0 {
		return
	}
	text := u.last[e.TaskID]
	for _, p := range e.Pieces {
		if p.Kind == client.PieceToken {
			text += p.Text
		} else {
			text += "\n" + pieceLine(p) + "\n"
		}
	}
	if over := len(text) - utteranceBytes; over > 0 {
		for over < len(text) && !utf8.RuneStart(text[over]) {
			over++
		}
		text = text[over:]
	}
	u.forget(e.TaskID)
	if u.last == nil {
		u.last, u.called = map[string]string{}, map[string]string{}
	}
	u.tasks, u.last[e.TaskID], u.called[e.TaskID] = append(u.tasks, e.TaskID), text, called(e.Name, e.TaskID)
	if len(u.tasks) > utterers {
		u.forget(u.tasks[0])
	}
}

// forget is for who holds mu.
func (u *utterances) forget(task string) {
	for i, id := range u.tasks {
		if id == task {
			u.tasks = append(u.tasks[:i:i], u.tasks[i+1:]...)
			delete(u.last, task)
			delete(u.called, task)
			return
		}
	}
}

// lines show the last words, each task's in two lines at most.
func (u *utterances) lines(width int) (lines []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range u.tasks {
		text := strings.TrimSpace(u.last[id])
		if text == "" {
			continue
		}
		all := wrap("“"+oneLine(text), width-2)
		lines = append(lines, oneLine(u.called[id])+":")
		for _, line := range all[max(0, len(all)-2):] {
			lines = append(lines, "  "+strings.TrimSpace(line))
		}
	}
	return lines
}
