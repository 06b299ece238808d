package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

func TestGetSaysWhatATaskWaitsFor(t *testing.T) {
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, w := range map[string]*client.Waiting{
		"":                  nil,
		`the signal "paid"`: {Kind: "signal", Name: "paid"},
		`the signal "paid", until 2030-01-02T03:04:05Z`: {Kind: "signal", Name: "paid", Until: until},
		"an answer: Deploy?":                            {Kind: "approval", Data: json.RawMessage(`{"message":"Deploy?","choices":["approve"]}`)},
		"an answer":                                     {Kind: "approval"},
		"its time, until 2030-01-02T03:04:05Z":          {Kind: "time", Until: until},
		"the end of tree t1":                            {Kind: "tree", TreeID: "t1"},
	} {
		if got := waitingText(w); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
