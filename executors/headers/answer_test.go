package headers_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
)

func TestRetryAfterIsRead(t *testing.T) {
	const here, there = "Tue, 01 Dec 2026 10:00:00 GMT", "Tue, 01 Dec 2026 11:00:00 GMT" // the service's clock is an hour ahead
	now, err := http.ParseTime(here)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"7", "", 7 * time.Second},
		{" 120 ", "", 2 * time.Minute},
		{"86401", "", headers.MostRetryAfter},
		{"9223372036854775807", "", headers.MostRetryAfter}, // times a second, it would overflow
		{"99999999999999999999999", "", headers.MostRetryAfter},
		{"-1", "", 0},
		{"1.5", "", 0},
		{"soon", "", 0},
		{"Tue, 01 Dec 2026 10:00:30 GMT", "", 30 * time.Second},
		{"Tue, 01 Dec 2026 10:00:30 GMT", here, 30 * time.Second},
		{"Tue, 01 Dec 2026 11:00:30 GMT", there, 30 * time.Second},
		{"Tue, 01 Dec 2026 09:00:00 GMT", here, 0},
		{"Tuesday, 01-Dec-26 10:01:00 GMT", here, time.Minute}, // RFC 850's form
		{"Fri, 31 Dec 9999 23:59:59 GMT", here, headers.MostRetryAfter},
	} {
		header := http.Header{}
		header.Set("Retry-After", row.after)
		header.Set("Date", row.date)
		if got := headers.RetryAfter(header, now); got != row.want {
			t.Errorf("%q at %q: got %v, want %v", row.after, row.date, got, row.want)
		}
	}
}

func TestStatusesAreClassed(t *testing.T) {
	for status, permanent := range map[int]bool{302: true, 400: true, 404: true, 408: false, 409: false, 425: false, 429: false, 500: false, 503: false} {
		err := headers.Classed(errors.New("x"), status, http.Header{"Retry-After": {"7"}})
		if executors.IsPermanent(err) != permanent || !permanent && executors.RetryAfterOf(err) != 7*time.Second {
			t.Errorf("%d: permanent is %v, after %v", status, !permanent, executors.RetryAfterOf(err))
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"http://a/x", "http://A:80/y", true},
		{"https://a", "https://a:443", true},
		{"http://a", "https://a", false},
		{"http://a", "http://a:81", false},
		{"http://a", "http://b", false},
	} {
		a, _ := url.Parse(row.a)
		b, _ := url.Parse(row.b)
		if got := headers.SameOrigin(a, b); got != row.want {
			t.Errorf("%s, %s: got %v", row.a, row.b, got)
		}
	}
}
