package api

import (
	"net/http"
	"strconv"
	"time"
)

// HTTPStatus is the status of HTTP that a fault has where nothing else tells its kind.
func HTTPStatus(kind Kind) int {
	switch kind {
	case Invalid:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Unavailable, Exhausted, Cancelled, Timeout:
		return http.StatusServiceUnavailable
	case Unauthenticated:
		return http.StatusUnauthorized
	case Denied:
		return http.StatusForbidden
	case Limited:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// Seconds is a time as the header Retry-After has it: whole seconds, at least one.
func Seconds(d time.Duration) string {
	return strconv.FormatInt(int64(max(1, (d+time.Second-1)/time.Second)), 10)
}
