package coordinator

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/readiness"
	"github.com/taskgrove/taskgrove/pg"
)

// Whoever asks whether a coordinator is ready learns why it is not, but no names of servers; the log does.
func TestReadySaysWhyAServerIsRefused(t *testing.T) {
	for standby, want := range map[bool]string{false: "Postgres is a former primary, and the present one is not found yet", true: "Postgres is a standby"} {
		former := &pg.FormerError{Server: "10.0.0.7:5432", Standby: standby}
		err := unwritable(fmt.Errorf("connect: %w", former))
		if got := readiness.Reason(err); got != want {
			t.Errorf("standby %v: got the reason %q, want %q", standby, got, want)
		}
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, former) || !strings.Contains(err.Error(), "10.0.0.7:5432") || strings.Contains(err.Error(), "\n") {
			t.Errorf("standby %v: got %q, want one line that names the server", standby, err)
		}
	}
}
