package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPartsStopOneAfterTheOtherLastFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProcess(slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var order []string // written by one part at a time
		for _, name := range []string{"first", "second", "third"} {
			p.Run(ctx, name, func(ctx context.Context) error {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), errStopping) {
					t.Errorf("%s: cause %v", name, context.Cause(ctx))
				}
				order = append(order, name)
				return nil
			})
		}
		p.OnStop("closed", func() error { order = append(order, "closed"); return errors.New("stuck lid") })
		cancel()
		if err := p.Wait(ctx); err != nil {
			t.Errorf("wait: %v", err)
		}
		synctest.Wait()
		if len(order) > 0 {
			t.Errorf("%v ended with the signal, want each in its turn", order)
		}
		if err := p.Stop(); err == nil || err.Error() != "stop closed: stuck lid" {
			t.Errorf("stop: %v", err)
		}
		if want := []string{"closed", "third", "second", "first"}; !slices.Equal(order, want) {
			t.Errorf("got %v, want %v", order, want)
		}
		if err := p.Stop(); err != nil {
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
			p := NewProcess(slog.New(slog.DiscardHandler))
			p.Run(t.Context(), "engine", func(context.Context) error { return tt.result })
			if err := p.Wait(t.Context()); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err := p.Stop(); err != nil {
				t.Errorf("stop: %v, want nothing more", err)
			}
		})
	}
}

func TestStopTellsOfAPartThatEndedWhileNobodyWaited(t *testing.T) {
	p := NewProcess(slog.New(slog.DiscardHandler))
	p.Run(t.Context(), "engine", func(context.Context) error { return errors.New("broken") })
	for len(p.ended) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := p.Stop(); err == nil || err.Error() != "engine ended: broken" {
		t.Errorf("got %v, want engine ended: broken", err)
	}
}
