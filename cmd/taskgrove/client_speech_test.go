package main

import (
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// piecesOf is an event that tells pieces.
func piecesOf(task string, pieces ...client.Piece) *client.Event {
	return &client.Event{Type: client.EventProgress, TaskID: task, Name: task, At: time.Unix(0, 0), Pieces: pieces}
}

func token(agent, text string) client.Piece {
	return client.Piece{Kind: client.PieceToken, Agent: agent, Text: text}
}

func TestATranscriptShowsTextsAsTheyCome(t *testing.T) {
	var out strings.Builder
	talk := &transcript{}
	for _, e := range []*client.Event{
		piecesOf("a", client.Piece{Kind: client.PieceModelCall, Name: "gpt-4o"}, token("", "Hel")),
		piecesOf("a", token("", "lo,\nwor")), piecesOf("a", token("", "ld")),
		piecesOf("b", token("writer", "Yes.\n")),
		piecesOf("b", client.Piece{Kind: client.PieceToolCall, Agent: "writer", Name: "search", Text: "{\n}"}, client.Piece{Kind: client.PieceToolResult, Agent: "writer", Name: "search", Text: "none"}),
		piecesOf("b", client.Piece{Kind: client.PieceDropped, Text: "77"}, token("writer", "End")),
	} {
		talk.print(harmlessWriter{&out}, e)
	}
	talk.pause(&out)
	talk.pause(&out)
	at := time.Unix(0, 0).In(zone).Format("15:04:05.000") + "  live  "
	want := at + "a  asks gpt-4o\n" + at + "a  says:\nHello,\nworld\n" + at + "b  writer says:\nYes.\n" + at + "b  writer calls search { }\n" +
		at + "b  writer hears of search: none\n" + at + "b  … 77 bytes are missing here …\n" + at + "b  writer says:\nEnd\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// What a task reports in the middle of a line of its own text would cut a word in two.
func TestProgressWaitsForTheEndOfATextsLine(t *testing.T) {
	progress := func(task string, fraction float64) *client.Event {
		return &client.Event{Type: client.EventProgress, TaskID: task, Name: task, At: time.Unix(0, 0), Progress: fraction}
	}
	var out strings.Builder
	talk := &transcript{}
	if talk.hold(progress("a", 0.1)) {
		t.Error("held while nobody speaks")
	}
	talk.print(&out, piecesOf("a", token("", "Hel")))
	for task, want := range map[string]bool{"a": true, "ab": false, "": false} {
		if got := talk.hold(progress(task, 0.2)); got != want {
			t.Errorf("progress of %q while a speaks: held is %v", task, got)
		}
	}
	talk.hold(progress("a", 0.5))
	talk.print(&out, piecesOf("a", token("", "lo")))
	talk.pause(&out)
	talk.print(&out, piecesOf("a", token("", "Bye\n")))
	if talk.hold(progress("a", 0.9)) {
		t.Error("held at the end of a line")
	}
	at := time.Unix(0, 0).In(zone).Format("15:04:05.000")
	want := at + "  live  a  says:\nHello\n" + at + "  progress  a  50%\n" + at + "  live  a  says:\nBye\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestUtterancesShowTheLastWordsOfWhoSpeaks(t *testing.T) {
	u := &utterances{}
	if got := u.lines(40); got != nil {
		t.Errorf("got %q before anyone spoke", got)
	}
	u.hear(piecesOf("a", token("", strings.Repeat("long ago ☃ ", 1000)+"the end\x1b[2J")))
	u.hear(piecesOf("b", token("", "short")))
	got := strings.Join(u.lines(40), "|")
	if !strings.HasPrefix(got, "a:|  ") || !strings.Contains(got, "the end\uFFFD[2J|b:|  “short") || strings.Count(got, "|") != 4 || len(u.last["a"]) > utteranceBytes {
		t.Errorf("got %q", got)
	}
	u.hear(&client.Event{Type: client.EventCompleted, TaskID: "a"})
	for _, task := range []string{"c", "d", "e"} {
		u.hear(piecesOf(task, token("", task)))
	}
	if got := strings.Join(u.lines(40), "|"); got != "c:|  “c|d:|  “d|e:|  “e" || len(u.last) != utterers || len(u.called) != utterers {
		t.Errorf("got %q", got)
	}
}
