package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLinksThatAreChangedMeanwhileLeadNowhere has a directory and a link to the outside change places all the time.
func TestLinksThatAreChangedMeanwhileLeadNowhere(t *testing.T) {
	t.Parallel()
	e, root := newExecutor(t)
	outside := t.TempDir()
	put(t, filepath.Join(outside, "f"), "secret")
	now, other := filepath.Join(root, "now"), filepath.Join(root, "other")
	put(t, filepath.Join(now, "f"), "mine")
	if err := os.Symlink(outside, other); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	swapped := make(chan error, 1)
	go func() {
		for !stop.Load() {
			if err := unix.Renameat2(unix.AT_FDCWD, now, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE); err != nil {
				swapped <- err
				return
			}
		}
		swapped <- nil
	}()
	inside, refused := 0, 0
	for range 400 {
		got, err := attempt(t.Context(), t, e, 1, object{"operation": "read", "path": "now/f"})
		switch {
		case err == nil && got["content"] == "mine":
			inside++
		case err != nil && !strings.Contains(err.Error(), "secret"):
			refused++
		default:
			t.Fatalf("got %v, %v", got, err)
		}
		_, _ = attempt(t.Context(), t, e, 1, object{"operation": "write", "path": "now/written", "content": "x", "overwrite": true})
		_, _ = attempt(t.Context(), t, e, 1, object{"operation": "move", "source": "now/written", "destination": "now/moved", "overwrite": true})
		_, _ = attempt(t.Context(), t, e, 1, object{"operation": "delete", "path": "now/moved"})
	}
	stop.Store(true)
	if err := <-swapped; err != nil {
		t.Fatal(err)
	}
	if t.Logf("%d reads within, %d refused", inside, refused); inside == 0 || refused == 0 {
		t.Error("the two have not changed places while it read")
	}
	wantFiles(t, outside, "f=secret")
}
