package fill

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors/excel"
)

// kind is what a cell holds.
type kind uint8

const (
	blank kind = iota
	text
	number
	boolean
	date     // a number of days, shown as a date
	datetime // the same, with the time of day
)

// value is what is written into a cell.
type value struct {
	kind kind
	text string // of a number as it is written: decimal; of booleans 1 or 0
}

var (
	truth   = value{boolean, "1"}
	falsity = value{boolean, "0"}
)

func textValue(s string) value {
	if s == "" {
		return value{}
	}
	return value{text, s}
}

// integer is a whole number where Excel keeps all its digits, and else its text.
func integer(s string) value {
	digits := strings.TrimLeft(strings.TrimLeft(s, "+-"), "0")
	if len(digits) > 15 {
		return textValue(s)
	}
	switch {
	case digits == "":
		digits = "0"
	case s[0] == '-':
		digits = "-" + digits
	}
	return value{number, digits}
}

// float is a number that Excel can hold, and else its text.
func float(f float64) value {
	switch {
	case math.IsNaN(f):
		return textValue("NaN")
	case math.IsInf(f, 1):
		return textValue("Infinity")
	case math.IsInf(f, -1):
		return textValue("-Infinity")
	case f == 0 || math.Abs(f) < 0x1p-1022: // Excel has no denormalized numbers
		return value{number, "0"}
	}
	return value{number, strconv.FormatFloat(f, 'g', -1, 64)}
}

// fromJSON is the value of a row of JSON.
func fromJSON(raw json.RawMessage) (value, error) {
	if len(raw) == 0 {
		return value{}, nil
	}
	switch raw[0] {
	case 'n':
		return value{}, nil
	case 't':
		return truth, nil
	case 'f':
		return falsity, nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return textValue(s), err
	case '{', '[':
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return value{}, err
		}
		compact, err := json.Marshal(v)
		return textValue(string(compact)), err
	}
	return fromNumber(string(raw)), nil
}

// fromNumber is the value of a number as JSON writes it.
func fromNumber(s string) value {
	if !strings.ContainsAny(s, ".eE") {
		return integer(s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil { // out of range
		return textValue(s)
	}
	return float(f)
}

// caster turns the values of a row into those of the types that a target gives.
type caster struct {
	cast  string
	types []string // by column
	dates calendar
	dated bool // there may be dates
}

// newCaster is for columns with those names; nil: they are unknown.
func newCaster(t *excel.Target, columns []string, dates calendar) *caster {
	c := &caster{cast: t.TypeCast, dates: dates}
	switch {
	case c.cast == excel.Schema && len(columns) == 0:
		c.cast = excel.CastNone
	case c.cast == excel.Schema:
		for _, name := range columns {
			typ := t.Types[name]
			c.types = append(c.types, typ)
			c.dated = c.dated || typ == "date" || typ == "datetime"
		}
	case c.cast == excel.Basic:
		c.dated = true
	}
	return c
}

func (c *caster) row(row []value) {
	switch c.cast {
	case excel.Schema:
		for i := range min(len(row), len(c.types)) {
			row[i] = c.schema(row[i], c.types[i])
		}
	case excel.Basic:
		for i, v := range row {
			if v.kind == text {
				row[i] = c.basic(v.text)
			}
		}
	}
}

func (c *caster) schema(v value, typ string) value {
	switch {
	case v.kind == blank || typ == "":
		return v
	case typ == "string":
		if v.kind == boolean {
			return value{text, map[bool]string{true: "true", false: "false"}[v == truth]}
		}
		if v.kind == number {
			return value{text, v.text}
		}
		return v
	case v.kind != text:
		return v
	}
	s := strings.TrimSpace(v.text)
	if s == "" {
		return value{}
	}
	switch typ {
	case "int":
		if whole(s) {
			return integer(s)
		}
	case "float":
		if decimal(s) {
			if f, err := strconv.ParseFloat(s, 64); err == nil {
				return float(f)
			}
		}
	case "bool":
		switch strings.ToLower(s) {
		case "true", "1":
			return truth
		case "false", "0":
			return falsity
		}
	case "date", "datetime":
		if at, _, ok := parseTime(s); ok {
			if serial, ok := c.dates.serial(at, typ == "date"); ok {
				return value{map[bool]kind{true: date, false: datetime}[typ == "date"], serial}
			}
		}
	}
	return v
}

// basic guesses what a text means.
func (c *caster) basic(given string) value {
	s := strings.TrimSpace(given)
	switch strings.ToLower(s) {
	case "":
		return value{}
	case "true", "1":
		return truth
	case "false", "0":
		return falsity
	}
	if first := s[0]; first != '-' && (first < '0' || first > '9') && first != '.' {
		return value{text, given}
	}
	switch unsigned := strings.TrimPrefix(s, "-"); {
	case whole(s):
		if unsigned[0] != '0' {
			if v := integer(s); v.kind == number {
				return v
			}
		}
	case decimal(s):
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return float(f)
		}
	default:
		if at, day, ok := parseTime(s); ok {
			if serial, ok := c.dates.serial(at, false); ok {
				return value{map[bool]kind{true: date, false: datetime}[day], serial}
			}
		}
	}
	return value{text, given}
}

// whole reports whether a text is a whole number with nothing around it.
func whole(s string) bool {
	if s = s[signs(s):]; s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func signs(s string) int {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return 1
	}
	return 0
}

// decimal reports whether a text is a number as people and programs write it: no hexadecimal digits, NaN, infinity or underscores.
func decimal(s string) bool {
	digits, dot, i := 0, false, signs(s)
	for ; i < len(s) && (s[i] == '.' && !dot || '0' <= s[i] && s[i] <= '9'); i++ {
		if s[i] == '.' {
			dot = true
		} else {
			digits++
		}
	}
	if digits == 0 {
		return false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		return whole(s[i+1:])
	}
	return i == len(s)
}

// layouts are the forms of dates and times that count as such (ISO 8601). Those without a zone are as they stand, others become UTC.
var layouts = []string{"2006-01-02", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700"}

// parseTime reads a date or a time; day: it is a date alone.
func parseTime(s string) (at time.Time, day, ok bool) {
	if len(s) < 10 || len(s) > 40 || s[4] != '-' || s[7] != '-' {
		return at, false, false
	}
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + strings.TrimSpace(s[11:])
	}
	if strings.HasSuffix(s, " UTC") {
		s = strings.TrimSuffix(s, " UTC") + "Z"
	}
	for i, layout := range layouts {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), i == 0, true
		}
	}
	return at, false, false
}

// calendar is how a workbook counts days; true: from 1904.
type calendar bool

var (
	epoch1900 = time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	epoch1904 = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	march1900 = time.Date(1900, 3, 1, 0, 0, 0, 0, time.UTC) // before it, Excel counts a day too many, as it holds 1900 for a leap year
	first1900 = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
)

// serial is the number of a day or a time; ok is false where Excel has none.
func (c calendar) serial(at time.Time, day bool) (string, bool) {
	epoch, first := epoch1900, first1900
	if c {
		epoch, first = epoch1904, epoch1904
	}
	if day {
		at = at.Truncate(24 * time.Hour)
	}
	if at.Before(first) || at.Year() > 9999 {
		return "", false
	}
	if !bool(c) && at.Before(march1900) {
		epoch = epoch.AddDate(0, 0, 1)
	}
	ms := at.Sub(epoch).Milliseconds() // whole: 292 years fit into a Duration, but not 9999
	if at.Sub(epoch) == math.MaxInt64 {
		ms = at.UnixMilli() - epoch.UnixMilli()
	}
	const ofDay = 24 * 60 * 60 * 1000
	if ms%ofDay == 0 {
		return strconv.FormatInt(ms/ofDay, 10), true
	}
	return strconv.FormatFloat(float64(ms)/ofDay, 'f', -1, 64), true
}

var errLong = errors.New("has more than 32767 characters, which is all that Excel keeps")

// check says what is wrong with a value; nil: nothing.
func (v value) check() error {
	if v.kind != text || len(v.text) <= excel.MaxCellUnits {
		return nil
	}
	units := 0
	for _, c := range v.text {
		if units++; c > 0xffff {
			units++
		}
	}
	if units > excel.MaxCellUnits {
		return errLong
	}
	return nil
}

// appendEscaped appends a text as XML has it in a cell. What XML can't hold becomes _xHHHH_, as Excel writes it, and what looks like that already
// gets its first character escaped.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				b = append(b, "\uFFFD"...)
			case r == 0xfffe || r == 0xffff:
				b = append(b, "_x"...)
				b = append(b, hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15], '_')
			default:
				b = append(b, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
		switch {
		case c == '&':
			b = append(b, "&amp;"...)
		case c == '<':
			b = append(b, "&lt;"...)
		case c == '>':
			b = append(b, "&gt;"...)
		case c == '_' && looksEscaped(s[i-1:]):
			b = append(b, "_x005F_"...)
		case c == '\n' || c == '\t' || c >= ' ':
			b = append(b, c)
		default:
			b = append(b, "_x00"...)
			b = append(b, hex[c>>4], hex[c&15], '_')
		}
	}
	return b
}

func looksEscaped(s string) bool {
	if len(s) < 7 || s[1] != 'x' || s[6] != '_' {
		return false
	}
	for _, c := range []byte(s[2:6]) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}
