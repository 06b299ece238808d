package headers

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// MostRetryAfter bounds what is believed of a service that wants to be left alone.
const MostRetryAfter = 24 * time.Hour

// RetryAfter is how long the service wants to be left alone: seconds, or a date (RFC 9110 10.2.3), which is compared with the
// date of the answer, as clocks differ. 0: it does not say, or not in a way that can be read.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(MostRetryAfter/time.Second) { // err: out of range
			return MostRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		now = sent
	}
	return min(max(0, at.Sub(now)), MostRetryAfter)
}

// Kinds of errors that stand for a status.
const (
	KindBusy   = "http_429"
	KindClient = "http_4xx" // any other status below 500
	KindServer = "http_5xx"
)

// Kinds are those of errors of services of HTTP, for the descriptions of executors.
func Kinds() []executors.ErrorKind {
	return []executors.ErrorKind{
		{Word: KindBusy, Text: "The service answers 429: it wants to be asked less often"},
		{Word: KindServer, Text: "The service answers with a status from 500 on"},
		{Word: KindClient, Text: "The service answers with any other status that is no success"},
		{Word: executors.KindConnect, Text: "There is no connection, or it broke: name, address, TLS, a proxy's refusal"},
	}
}

// Kind is the kind of an error that stands for a status other than 2xx.
func Kind(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return KindBusy
	case status < 500:
		return KindClient
	}
	return KindServer
}

// Classed marks an error that stands for a status other than 2xx by its [Kind], and by whether another attempt may help. Errors of the client
// are permanent: it would repeat them.
func Classed(err error, status int, header http.Header) error {
	err = executors.WithKind(err, Kind(status))
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if status < 500 {
			return executors.Permanent(err)
		}
	}
	return executors.RetryAfter(err, RetryAfter(header, time.Now()))
}

// harmless are the headers that go along with a redirect to another origin. Any other may be a credential under a name of
// the service's own (X-Api-Key, PRIVATE-TOKEN), so it stays behind.
var harmless = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Cache-Control": true, "Content-Encoding": true,
	"Content-Language": true, "Content-Length": true, "Content-Type": true, "If-Match": true, "If-Modified-Since": true,
	"If-None-Match": true, "If-Unmodified-Since": true, "Pragma": true, "Prefer": true, "Range": true, "User-Agent": true,
	executors.HeaderKey: true, executors.HeaderAttempt: true, executors.HeaderLockToken: true,
	// of a WebSocket handshake; its subprotocols may hold a token
	"Connection": true, "Upgrade": true, "Sec-Websocket-Version": true, "Sec-Websocket-Key": true, "Sec-Websocket-Extensions": true,
}

// LeaveHarmless takes out the headers that must not go along with a redirect to another origin.
func LeaveHarmless(h http.Header) {
	for name := range h {
		if !harmless[http.CanonicalHeaderKey(name)] {
			delete(h, name)
		}
	}
}

// SameOrigin reports whether two URLs of http or https lead to the same service: scheme, host and port.
func SameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}
