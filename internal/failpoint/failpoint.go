// Package failpoint lets a test name a line of the program at which the process dies, freezes or exits.
//
// It owns the parsing of TASKGROVE_FAILPOINT, and the action at a hit. It must not know what the points mean: a point is only
// a name. Without the variable, a hit costs one load and a branch.
//
// The variable holds one or more points, separated by commas:
//
//	worker.after-claim=kill             SIGKILL to this process at the first hit
//	coordinator.before-ack=stop@3       SIGSTOP at the third hit, and at no other
//	worker.mid-task=exit@2+250ms        exit code 77, 250 ms after the second hit; the process goes on meanwhile
package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Variable names the environment variable that arms points.
const Variable = "TASKGROVE_FAILPOINT"

// ExitCode is the exit code at a point armed with "exit".
const ExitCode = 77

type point struct {
	action string // kill, stop or exit
	at     int64  // which hit, from 1
	after  time.Duration
	hits   atomic.Int64
}

// armed is written once, before main, so reading it needs no lock.
var armed, enabled = mustParse(os.Getenv(Variable))

// Enabled reports whether any point is armed.
func Enabled() bool { return enabled }

// Hit marks a point. It does nothing unless the point is armed for this hit. It does not return from "kill", or from "exit"
// without a delay. Safe for concurrent use.
func Hit(name string) {
	if enabled {
		hit(name)
	}
}

func hit(name string) {
	p := armed[name]
	if p == nil || p.hits.Add(1) != p.at {
		return
	}
	if p.after > 0 {
		time.AfterFunc(p.after, func() { act(p.action) })
		return
	}
	act(p.action)
}

func act(action string) {
	switch action {
	case "kill":
		kill()
		select {} // the signal is on its way; nothing after the point may run
	case "stop":
		stop()
	case "exit":
		os.Exit(ExitCode)
	}
}

// mustParse panics on a malformed variable: a fault test that arms no point would pass for the wrong reason.
func mustParse(text string) (map[string]*point, bool) {
	points, err := parse(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", Variable, err))
	}
	return points, len(points) > 0
}

func parse(text string) (map[string]*point, error) {
	points := map[string]*point{}
	for _, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, rest, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q: want name=action", item)
		}
		p := &point{at: 1}
		rest, delay, delayed := strings.Cut(rest, "+")
		action, nth, counted := strings.Cut(rest, "@")
		p.action = action
		if action != "kill" && action != "stop" && action != "exit" {
			return nil, fmt.Errorf("%q: action is kill, stop or exit", item)
		}
		var err error
		if counted {
			if p.at, err = strconv.ParseInt(nth, 10, 64); err != nil || p.at < 1 {
				return nil, fmt.Errorf("%q: the hit is a number from 1", item)
			}
		}
		if delayed {
			if p.after, err = time.ParseDuration(delay); err != nil || p.after < 0 {
				return nil, fmt.Errorf("%q: the delay is a duration", item)
			}
		}
		points[name] = p
	}
	return points, nil
}
