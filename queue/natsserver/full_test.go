package natsserver

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
)

// TestFullDisk: the server's lines say when its disk is full, and nothing else does.
func TestFullDisk(t *testing.T) {
	full := 0
	l := logger{slog.New(slog.DiscardHandler), func() { full++ }}
	l.Errorf("Filestore [%s] Critical write error: %v", "TG_RESULTS", errors.New("write 1.blk: input/output error"))
	l.Warnf("%v", syscall.ENOSPC)
	if full != 0 {
		t.Fatal("another error counts")
	}
	l.Errorf("Filestore [%s] Critical write error: %v", "TG_RESULTS", &errnoAt{syscall.ENOSPC})
	l.Errorf("%v", syscall.EDQUOT)
	if full != 2 {
		t.Errorf("told %d times", full)
	}
}

type errnoAt struct{ error }

func (e *errnoAt) Error() string { return "write 28.blk: " + e.error.Error() }
