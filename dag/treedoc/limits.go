package treedoc

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/taskgrove/taskgrove/dag"
)

// limiting reads what the task asks for before it starts. Unlike elsewhere a key that it does not know is a fault.
func (d *decoder) limiting(k key, v part) (err error) {
	if d.task.Limiting == nil {
		d.task.Limiting = &dag.Limiting{}
	}
	l := d.task.Limiting
	switch k {
	case keyLimits:
		err = d.objects("limits", v, dag.MaxLimits, func(at string, v part) error {
			l.Limits = append(l.Limits, dag.Limit{})
			return d.limit(at, &l.Limits[len(l.Limits)-1], v)
		})
	case keyRates:
		err = d.objects("rates", v, dag.MaxRates, func(at string, v part) error {
			l.Rates = append(l.Rates, dag.Rate{})
			return d.rate(at, &l.Rates[len(l.Rates)-1], v)
		})
	case keyLock:
		l.Lock = &dag.Lock{}
		if err = d.lock("lock", l.Lock, v); v.raw[0] != '{' {
			l.Lock = nil
		}
	}
	if l.Empty() {
		d.task.Limiting = nil
	}
	return err
}

// objects reads an array of objects, each of which read takes, with its place.
func (d *decoder) objects(field string, v part, most int, read func(at string, v part) error) error {
	if v.raw[0] != '[' {
		return wrong(field, "must be an array of objects")
	}
	n := 0
	s := scanner{text: v.raw}
	return s.array(func(item part) error {
		at := fmt.Sprintf("%s[%d]", field, n)
		if n++; n > most {
			if n == most+1 {
				return d.note(wrong(field, "must be at most %d", most))
			}
			return nil
		}
		return d.note(read(at, item))
	})
}

func (d *decoder) limit(at string, l *dag.Limit, v part) error {
	given, err := d.fields(at, v, limitKeys, func(name string, v part) (err error) {
		switch name {
		case "key":
			l.Key, err = limitKeyOf(at, v)
		case "max":
			l.Max, err = sumOf(at+".max", v)
		case "cost":
			l.Cost, err = sumOf(at+".cost", v)
		}
		return err
	})
	return d.required(err, given, at, &l.Key)
}

func (d *decoder) lock(at string, l *dag.Lock, v part) error {
	given, err := d.fields(at, v, lockKeys, func(name string, v part) (err error) {
		switch name {
		case "key":
			l.Key, err = limitKeyOf(at, v)
		case "on_contention":
			var word string
			if word, err = text(at+".on_contention", v); err == nil {
				var known bool
				if l.OnContention, known = dag.ParseOnContention(word); !known {
					err = wrong(at+".on_contention", "must be wait, fail or skip")
				}
			}
		case "wait_timeout":
			l.WaitTimeout, err = seconds(at+".wait_timeout", v)
		case "hold":
			var word string
			if word, err = text(at+".hold", v); err == nil {
				var known bool
				if l.Hold, known = dag.ParseLockHold(word); !known {
					err = wrong(at+".hold", dag.HoldFault)
				}
			}
		}
		return err
	})
	return d.required(err, given, at, &l.Key)
}

func (d *decoder) rate(at string, r *dag.Rate, v part) error {
	r.Per, r.Max = dag.RatePeriods["second"], 1 // unless it says better: a fault is told once
	given, err := d.fields(at, v, rateKeys, func(name string, v part) (err error) {
		switch name {
		case "key":
			r.Key, err = limitKeyOf(at, v)
		case "per":
			var word string
			if word, err = text(at+".per", v); err == nil {
				if per, known := dag.RatePeriods[word]; known {
					r.Per = per
				} else {
					err = wrong(at+".per", "must be second, minute or hour")
				}
			}
		case "max":
			r.Max, err = sumOf(at+".max", v)
			r.Max = max(r.Max, 1)
		case "burst":
			r.Burst, err = sumOf(at+".burst", v)
		}
		return err
	})
	return d.required(err, given, at, &r.Key, "per", "max")
}

// required tells which of the fields that must be there are not. A key that is not good stands in for one, so that its fault is told once.
func (d *decoder) required(err error, given map[string]bool, at string, key *string, more ...string) error {
	if *key == "" {
		*key = "?" + at
	}
	if err != nil {
		return err
	}
	for _, name := range append([]string{"key"}, more...) {
		if !given[name] {
			if err := d.note(wrong(at+"."+name, "is required")); err != nil {
				return err
			}
		}
	}
	return nil
}

// fields reads an object whose fields are known, and tells which of them are there.
func (d *decoder) fields(at string, v part, known []Key, read func(name string, v part) error) (given map[string]bool, err error) {
	if v.raw[0] != '{' {
		return nil, wrong(at, "must be an object")
	}
	set := setOf(at+".", known)
	given = map[string]bool{}
	seen := once{prefix: at + "."}
	s := scanner{text: v.raw}
	return given, s.object(func(key []byte, v part) error {
		name, err := seen.key(key, set.names...)
		switch {
		case err != nil:
		case name == "":
			err = wrong(at+"."+Short(unescape(key)), "%s", set.unknown(unescape(key)))
		case !isNull(v):
			given[name] = true
			err = read(name, v)
		}
		return d.note(err)
	})
}

// unknown is the fault of a key that is not among those known.
func (known keySet) unknown(name string) string {
	if meant := known.meant(name); meant != "" {
		return "there is no such key; did you mean " + Short(meant) + "?" + unseen(name)
	}
	last := len(known.names) - 1
	return "is not known; there are " + strings.Join(known.names[:last], ", ") + " and " + known.names[last] + unseen(name)
}

// unseen says how a word is written that has other characters than those of ASCII: some are not seen, and some look like one of these.
func unseen(word string) string {
	word = Short(word)
	if quoted := strconv.QuoteToASCII(word); quoted != strconv.Quote(word) || strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "; it is written " + quoted
	}
	return ""
}

func limitKeyOf(at string, v part) (string, error) {
	key, err := text(at+".key", v)
	if err == nil && key == "" {
		err = wrong(at+".key", "must not be empty")
	}
	return key, err
}

// sumOf reads what a limit counts. A number that is none is 0, as if it were not there.
func sumOf(field string, v part) (int32, error) {
	n, err := integer(field, v)
	if err == nil && (n < 1 || n > dag.MaxLimitMax) {
		n, err = 0, wrong(field, "must be 1 to %d, got %d", dag.MaxLimitMax, n)
	}
	return int32(n), err
}

// Limiting reads what an update says of limits, lock and rates, each of which may be nil: it says nothing. The faults have their fields.
func Limiting(limits, lock, rates []byte) (l *dag.Limiting, faults []*dag.InvalidTaskError) {
	d := &decoder{task: &dag.Task{}}
	for _, one := range []struct {
		key key
		raw []byte
	}{{keyLimits, limits}, {keyLock, lock}, {keyRates, rates}} {
		if one.raw == nil {
			continue
		}
		if d.note(d.limiting(one.key, part{raw: one.raw})) != nil {
			continue // it was read before
		}
	}
	for _, bad := range d.wrongs {
		faults = append(faults, &dag.InvalidTaskError{Field: bad.field, Reason: bad.reason})
	}
	if l = d.task.Limiting; l == nil {
		l = &dag.Limiting{}
	}
	return l, faults
}
