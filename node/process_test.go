package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/taskgrove/taskgrove/internal/config"
)

func TestPartsStopOneAfterTheOtherLastFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSupervisor(slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var order []string // written by one part at a time
		for _, name := range []string{"first", "second", "third"} {
			s.run(ctx, name, func(ctx context.Context) error {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), errStopping) {
					t.Errorf("%s: cause %v", name, context.Cause(ctx))
				}
				order = append(order, name)
				return nil
			})
		}
		s.onStop("closed", func() error { order = append(order, "closed"); return errors.New("stuck lid") })
		cancel()
		if err := s.wait(ctx); err != nil {
			t.Errorf("wait: %v", err)
		}
		synctest.Wait()
		if len(order) > 0 {
			t.Errorf("%v ended with the signal, want each in its turn", order)
		}
		if err := s.stop(); err == nil || err.Error() != "stop closed: stuck lid" {
			t.Errorf("stop: %v", err)
		}
		if want := []string{"closed", "third", "second", "first"}; !slices.Equal(order, want) {
			t.Errorf("got %v, want %v", order, want)
		}
		if err := s.stop(); err != nil {
			t.Errorf("second stop: %v", err)
		}
	})
}

func TestAPartThatEndsUnaskedIsToldOnce(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		result error
		want   string
	}{{"with an error", broken, "engine ended: broken"}, {"without one", nil, "engine ended: nobody asked it to"}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSupervisor(slog.New(slog.DiscardHandler))
			s.run(t.Context(), "engine", func(context.Context) error { return tt.result })
			if err := s.wait(t.Context()); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err := s.stop(); err != nil {
				t.Errorf("stop: %v, want nothing more", err)
			}
		})
	}
}

func TestLogFormat(t *testing.T) {
	for _, tt := range []struct {
		format   config.LogFormat
		terminal bool
		json     bool
	}{{"auto", true, false}, {"auto", false, true}, {"text", false, false}, {"json", true, true}} {
		var out bytes.Buffer
		log := slog.New(handler(config.Log{Level: config.Level(slog.LevelWarn), Format: tt.format}, &out, tt.terminal))
		log.Info("quiet")
		log.Warn("heard")
		if strings.HasPrefix(out.String(), "{") != tt.json || strings.Contains(out.String(), "quiet") {
			t.Errorf("%s, terminal %t: got %s", tt.format, tt.terminal, out.String())
		}
	}
}
