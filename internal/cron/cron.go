// Package cron tells the instants that a schedule names: by five fields of a crontab in a time zone, or every so often.
//
// It owns the text of both, which texts are none, and what becomes of an instant on the days on which clocks are changed. It must not know what is done at an
// instant, whether one is due, or what the time is.
package cron

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the images hold no files of zones; where the system has some, those are taken

	library "github.com/netresearch/go-cron"
)

// Bounds of what is given.
const (
	MaxTextBytes = 255  // of five fields
	MaxZoneBytes = 64   // of the name of a zone
	MaxList      = 1000 // instants that [List] gives
)

// maxYears is how far apart two instants of a schedule may lie: a 29 February that is a given weekday comes after 40 years at the latest.
const maxYears = 40

// field is one of the five.
type field struct {
	name        string
	least, most int
	words       []string // that stand for least, least+1, …
}

var fields = [5]field{
	{"minute", 0, 59, nil}, {"hour", 0, 23, nil}, {"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	{"day of the week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
}

// names are short forms of five fields.
var names = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// Fault is what is wrong with a text.
type Fault struct {
	Field  string // cron, timezone, every, due
	Reason string // lower case, no full stop
}

// Error names field and reason. It is safe to show.
func (f *Fault) Error() string { return f.Field + ": " + f.Reason }

// Faults are all that is wrong with a schedule, in the order of its fields.
type Faults []*Fault

// Error names all.
func (fs Faults) Error() string {
	texts := make([]string, len(fs))
	for i, f := range fs {
		texts[i] = f.Error()
	}
	return strings.Join(texts, "; ")
}

// Schedule is what five fields name in a time zone. It does not change and may be used by many at once.
//
// The rules:
//   - Minute, hour and month must fit, and the day: by either field if both are set, else by both. A field that begins with * is not set.
//   - An hour that begins with * means real hours: each minute that fits is an instant, those of an hour that clocks repeat twice, those of one that they leave
//     out never.
//   - Any other hour is fixed: it is an instant once in an hour that is repeated, in its first pass. In one that is left out it comes as much later as the clocks
//     are put forward: 02:30 is then 03:30.
type Schedule struct {
	spec  clockSpec
	zone  *time.Location
	fixed bool // the hour is
}

// Parse reads five fields, or a short form of them as @daily, and the name of a zone; an empty name means UTC. What is wrong comes back as [Faults]. Fields
// that no day of any year fits are wrong, too.
func Parse(text, zone string) (*Schedule, error) {
	s := &Schedule{}
	var faults Faults
	var reasons []string
	s.spec, s.fixed, reasons = parseFields(text)
	for _, r := range reasons {
		faults = append(faults, &Fault{"cron", r})
	}
	where, fault := Zone(zone)
	if fault != nil {
		faults = append(faults, fault.(*Fault))
	}
	if faults != nil {
		return nil, faults
	}
	s.zone = where
	return s, nil
}

// parser reads the five fields. Which instants they name is ours to say: the library looks for the next one at ten times the cost, and goes by other rules where
// clocks are changed.
var parser = library.MustNewParser(library.Minute | library.Hour | library.Dom | library.Month | library.Dow)

// parseFields reads a text and reports whether its hour is fixed, or what is wrong with it.
func parseFields(text string) (spec clockSpec, fixed bool, reasons []string) {
	if len(text) > MaxTextBytes {
		return spec, false, []string{fmt.Sprintf("must be at most %d bytes", MaxTextBytes)}
	}
	parts := strings.Fields(text)
	if len(parts) == 1 && strings.HasPrefix(parts[0], "@") {
		long, ok := names[strings.ToLower(parts[0])]
		if !ok {
			return spec, false, []string{fmt.Sprintf("knows no %q, only @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually", printable(parts[0]))}
		}
		parts = strings.Fields(long)
	}
	switch {
	case len(parts) == 0:
		return spec, false, []string{"is empty: five fields, as 0 2 * * *"}
	case len(parts) != len(fields):
		return spec, false, []string{fmt.Sprintf("must have five fields - minute, hour, day of the month, month, day of the week - not %d", len(parts))}
	}
	for i, part := range parts {
		if reason := fields[i].check(part); reason != "" {
			reasons = append(reasons, reason)
		}
	}
	if reasons != nil {
		return spec, false, reasons
	}
	read, err := parser.Parse(strings.Join(parts, " "))
	if err != nil {
		return spec, false, []string{err.Error()}
	}
	spec = specOf(read.(*library.SpecSchedule), parts[2], parts[4])
	if spec.next(time.Unix(0, 0).UTC()).IsZero() {
		return spec, false, []string{"never fires: no day of any year fits"}
	}
	return spec, !strings.HasPrefix(parts[1], "*"), nil
}

// check says what is wrong with a field; empty: nothing. What the library takes beyond a crontab is wrong here.
func (f field) check(text string) string {
	for part := range strings.SplitSeq(text, ",") {
		if reason := f.checkPart(part); reason != "" {
			return fmt.Sprintf("%s %q: %s", f.name, printable(text), reason)
		}
	}
	return ""
}

// checkPart says what is wrong with one of the parts between commas.
func (f field) checkPart(part string) string {
	span, step, stepped := strings.Cut(part, "/")
	first, last, ranged := strings.Cut(span, "-")
	low, high := f.number(first), f.number(last)
	switch {
	case span == "*":
		low, high = f.least, f.most
	case !ranged:
		high = low
		if stepped { // from there on
			high = f.most
		}
	}
	switch {
	case part == "":
		return "a part between commas is empty"
	case low < 0 || high < 0:
		return "must be " + f.values()
	case low > high:
		return fmt.Sprintf("the range %s runs backwards: write it as two", span)
	case !stepped:
		return ""
	}
	if n := digits(step); n < 1 || n > 1 && n > high-low {
		return fmt.Sprintf("the step must be a number that is not greater than the range, 1 to %d", max(high-low, 1))
	}
	return ""
}

// number is the value that a text stands for; -1: none of the field's.
func (f field) number(text string) int {
	n := digits(text)
	if i := slices.Index(f.words, strings.ToUpper(text)); i >= 0 {
		n = f.least + i
	}
	if n < f.least || n > f.most {
		return -1
	}
	return n
}

// digits is a number of one to three digits; -1: the text is something else.
func digits(text string) int {
	if len(text) > 3 || strings.Trim(text, "0123456789") != "" {
		return -1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// values names what may stand in a field.
func (f field) values() string {
	text := fmt.Sprintf("*, numbers from %d to %d", f.least, f.most)
	if f.words != nil {
		text += " or " + f.words[0] + " to " + f.words[len(f.words)-1]
	}
	return text + ", ranges of them as a-b, and steps behind a /"
}

// printable shortens what was given, and replaces what can't be shown.
func printable(text string) string {
	const most = 40
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
