package dag

import (
	"strings"
	"testing"
	"time"
)

func TestDueIsRead(t *testing.T) {
	stored := time.Date(2026, 3, 28, 6, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2h": "2026-03-28T08:00:00Z", "90": "2026-03-28T06:01:30Z", "1h30m": "2026-03-28T07:30:00Z", "06:00": "2026-03-29T06:00:00Z", "06:01": "2026-03-28T06:01:00Z", "23:59": "2026-03-28T23:59:00Z",
		"2026-03-29T06:00:00+02:00": "2026-03-29T04:00:00Z", "2020-01-01T00:00:00Z": "2020-01-01T00:00:00Z",
	} {
		d, ok := ParseDue(text)
		if !ok || d == nil || d.Fault() != "" {
			t.Errorf("%s: %+v, %t", text, d, ok)
			continue
		}
		if got := d.Moment(stored).Format(time.RFC3339); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if again, ok := ParseDue(d.String()); !ok || *again != *d {
			t.Errorf("%s: %s is read as %+v", text, d, again)
		}
	}
	for _, text := range []string{"soon", "6:00", "24:00", "06:60", "-2h", "2d", "1.5h", "2026-03-29", "2026-03-29T06:00:00", "h", " 2h", "99999999999999999999", "9999999h", "2026-02-30T06:00:00Z", strings.Repeat("1s", 40)} {
		if d, ok := ParseDue(text); ok {
			t.Errorf("%q is read as %+v", text, d)
		}
	}
	for _, text := range []string{"0", "0h", "8785h", "99999h"} {
		if d, ok := ParseDue(text); !ok || d.Fault() == "" {
			t.Errorf("%q has no fault: %+v", text, d)
		}
	}
	if d, ok := ParseDue(""); d != nil || !ok || d.Fault() != "" || d.String() != "" {
		t.Errorf("nothing is %+v", d)
	}
}
