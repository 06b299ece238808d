package treedoc

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// text reads a string.
func text(field string, v part) (string, error) {
	if v.raw[0] != '"' {
		return "", wrong(field, "must be a string")
	}
	s, whole := rawjson.Unquote(v.raw)
	if !whole {
		return "", wrong(field, "must be valid Unicode")
	}
	return s, nil
}

// textLike reads a string as text does. One that is like the last shares its memory.
func textLike(last *string, field string, v part) (string, error) {
	if n := len(v.raw); n == len(*last)+2 && v.raw[0] == '"' && string(v.raw[1:n-1]) == *last && bytes.IndexByte(v.raw, '\\') < 0 {
		return *last, nil
	}
	s, err := text(field, v)
	*last = s
	return s, err
}

// unescape decodes a string in its quotes, which the scanner has checked.
func unescape(quoted []byte) string {
	s, _ := rawjson.Unquote(quoted)
	return s
}

// integer reads a number without fraction, however it is written.
func integer(field string, v part) (int, error) {
	if n, err := strconv.Atoi(string(v.raw)); err == nil {
		return n, nil
	}
	x, ok := number(v)
	if !ok || x != math.Trunc(x) {
		return 0, wrong(field, "must be an integer")
	}
	return int(max(math.MinInt32, min(math.MaxInt32, x))), nil
}

// number reads any number; one that is too large for a float64 is infinite.
func number(v part) (x float64, ok bool) {
	if c := v.raw[0]; c != '-' && !isDigit(c) {
		return 0, false
	}
	x, _ = strconv.ParseFloat(string(v.raw), 64) // the scanner has checked it
	return x, true
}

// seconds reads a span of time; what a [time.Duration] can't hold becomes its nearest, which is out of bounds anyway.
func seconds(field string, v part) (time.Duration, error) {
	x, ok := number(v)
	if !ok {
		return 0, wrong(field, "must be a number of seconds")
	}
	tiny := x > 0
	x = math.Round(x * float64(time.Second))
	switch {
	case tiny && x == 0: // which would mean none
		return 1, nil
	case x >= math.MaxInt64:
		return math.MaxInt64, nil
	case x <= math.MinInt64:
		return math.MinInt64, nil
	}
	return time.Duration(x), nil
}

// spanText is a time as a text.
var spanText = regexp.MustCompile(spanPattern)

// daysText is what a text of a time says in days, of 24 hours each.
var daysText = regexp.MustCompile(`([0-9]+(\.[0-9]+)?)d`)

// period reads a time: a number of seconds, or a text as 7d or 1h30m.
func period(field string, v part) (time.Duration, error) {
	if v.raw[0] != '"' {
		if _, ok := number(v); !ok {
			return 0, wrong(field, "must be a number of seconds, or a text as 7d or 1h30m")
		}
		return seconds(field, v)
	}
	word := unescape(v.raw)
	d, err := time.ParseDuration(daysText.ReplaceAllStringFunc(word, func(days string) string {
		n, _ := strconv.ParseFloat(days[:len(days)-1], 64) // digits; too many are infinite, which is refused
		return strconv.FormatFloat(24*n, 'f', -1, 64) + "h"
	}))
	if err != nil || !spanText.MatchString(word) {
		return 0, wrong(field, "must be a number of seconds, or a text as 7d or 1h30m, in d, h, m, s and ms")
	}
	return max(d, 1), nil // 0 would mean none
}

// retention reads how long a tree is kept.
func retention(field string, v part) (time.Duration, error) {
	s, err := text(field, v)
	if err != nil {
		return 0, wrong(field, "must be a string: "+dag.RetentionForm)
	}
	d, ok := dag.ParseRetention(s)
	if !ok {
		return 0, wrong(field, "must be "+dag.RetentionForm)
	}
	return d, nil
}

// due reads by when a tree is to have ended.
func due(field string, v part) (*dag.Due, error) {
	s, err := text(field, v)
	if err != nil {
		return nil, wrong(field, "must be a string: "+dag.DueForm)
	}
	d, ok := dag.ParseDue(s)
	if !ok || s == "" {
		return nil, wrong(field, "must be "+dag.DueForm)
	}
	return d, nil
}

func boolean(field string, v part) (bool, error) {
	if c := v.raw[0]; c != 't' && c != 'f' {
		return false, wrong(field, "must be true or false")
	}
	return v.raw[0] == 't', nil
}

func onLost(field string, v part) (dag.OnLost, error) {
	switch s, err := text(field, v); {
	case err == nil && s == "retry":
		return dag.RetryLost, nil
	case err == nil && s == "fail":
		return dag.FailLost, nil
	}
	return 0, wrong(field, "must be retry or fail")
}

// layouts are the forms of ISO 8601 that are read; each takes a fraction of a second too.
var layouts = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02",
}

// instant reads a time; without zone it is UTC.
func instant(field string, v part) (time.Time, error) {
	s, err := text(field, v)
	if err != nil {
		return time.Time{}, wrong(field, "must be a time as in 2006-01-02T15:04:05Z")
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, wrong(field, "must be a time as in 2006-01-02T15:04:05Z")
}
