package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStartThatWaitsSaysWhatFor(t *testing.T) {
	for fact, row := range map[string]struct {
		takes time.Duration
		lines int
	}{
		"a quick one says nothing":     {2 * time.Second, 0},
		"a slow one says it after 3 s": {4 * time.Second, 1},
		"and again every 10 s":         {24 * time.Second, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			p := NewProcess(slog.New(slog.NewTextHandler(&log, nil)))
			why := func(context.Context) error { return errors.New("it is being repaired") }
			end := errors.New("the end")
			err := p.WaitFor(t.Context(), "the server", why, func() error { time.Sleep(row.takes); return end })
			if !errors.Is(err, end) {
				t.Errorf("got %v", err)
			}
			got := strings.Count(log.String(), `msg="process waits for the server"`)
			if got != row.lines || strings.Count(log.String(), `error="it is being repaired"`) != got {
				t.Errorf("%s: got %d lines, want %d:\n%s", fact, got, row.lines, log.String())
			}
		})
	}
}

// A start is many small waits: each ends soon after what it waits for has come.
func TestUntilReadyLooksOften(t *testing.T) {
	for _, takes := range []time.Duration{0, 2 * time.Millisecond, 9 * time.Millisecond, 50 * time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := NewProcess(slog.New(slog.DiscardHandler))
			ready := time.Now().Add(takes)
			p.Probe(func(context.Context) error {
				if time.Now().Before(ready) {
					return errors.New("no lease was granted")
				}
				return nil
			})
			if err := p.UntilReady(t.Context()); err != nil {
				t.Error(err)
			}
			if late := time.Since(ready); late > min(takes, 20*time.Millisecond) {
				t.Errorf("what takes %s is noticed %s late", takes, late)
			}
		})
	}
}

func TestUntilReadySaysWhatIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := NewProcess(slog.New(slog.NewTextHandler(&log, nil)))
		ready := time.Now().Add(5 * time.Second)
		p.Probe(func(context.Context) error {
			if time.Now().Before(ready) {
				return errors.New("no lease was granted")
			}
			return nil
		})
		if err := p.UntilReady(t.Context()); err != nil || !strings.Contains(log.String(), `error="no lease was granted"`) {
			t.Errorf("got %v:\n%s", err, log.String())
		}
	})
}

// TestPatienceEndsWithItsContext: who gives up as it was told to says so, also if the end comes while an attempt meets an error that time may heal.
func TestPatienceEndsWithItsContext(t *testing.T) {
	away := errors.New("connection refused")
	for fact, end := range map[string]func(cancel func()){
		"during an attempt": func(cancel func()) { cancel() },
		"between two":       func(cancel func()) { time.AfterFunc(time.Millisecond, cancel) },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			why := errors.New("told to stop")
			attempts := 0
			err := patiently(ctx, slog.New(slog.DiscardHandler), "Postgres", func(err error) bool { return errors.Is(err, away) }, func() error {
				attempts++
				end(func() { cancel(why) })
				return away
			})
			if !errors.Is(err, why) || attempts != 1 {
				t.Errorf("%s: got %v after %d attempts", fact, err, attempts)
			}
		})
	}
}
