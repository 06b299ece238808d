package applyfile

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"
)

// object reads the keys of one, and remembers which there are.
type object struct {
	r      *reader
	at     string // "limits[2]"
	of     string // "limit"
	whole  json.RawMessage
	values map[string]json.RawMessage
	known  []string
}

// fault tells what is wrong with a key.
func (o *object) fault(key, format string, args ...any) { o.r.at(join(o.at, key), format, args...) }

// raw is the value of a key; null counts as none.
func (o *object) raw(key string) (json.RawMessage, bool) {
	o.known = append(o.known, key)
	return o.values[key], o.says(key)
}

// says reports whether a key has a value; null counts as none.
func (o *object) says(key string) bool {
	raw, there := o.values[key]
	return there && string(raw) != "null"
}

// end tells the keys that nobody has asked for.
func (o *object) end() {
	for _, name := range slices.Sorted(maps.Keys(o.values)) {
		if !slices.Contains(o.known, name) {
			o.fault(name, "%s", unknown(name, "a "+o.of, o.known))
		}
	}
}

func (o *object) text(key string) (text string) {
	if raw, there := o.raw(key); there && json.Unmarshal(raw, &text) != nil {
		o.fault(key, "must be a string")
	}
	return text
}

// texts is a list of strings.
func (o *object) texts(key string) (list []string) {
	if raw, there := o.raw(key); there && json.Unmarshal(raw, &list) != nil {
		o.fault(key, "must be a list of strings")
	}
	return list
}

// number is a whole number from low to high; nil: there is none.
func (o *object) number(key string, low, high int32) *int32 {
	raw, there := o.raw(key)
	if !there {
		return nil
	}
	var n int32
	if json.Unmarshal(raw, &n) != nil || n < low || n > high {
		o.fault(key, "must be a whole number from %d to %d", low, high)
		return nil
	}
	return &n
}

// flag is true or false; nil: there is none.
func (o *object) flag(key string) *bool {
	raw, there := o.raw(key)
	if !there {
		return nil
	}
	var is bool
	if json.Unmarshal(raw, &is) != nil {
		o.fault(key, "must be true or false")
		return nil
	}
	return &is
}

// duration is seconds, or a text as 1m30s, above 0 and at most so long; 0: there is none.
func (o *object) duration(key string, most time.Duration) time.Duration {
	raw, there := o.raw(key)
	if !there {
		return 0
	}
	var text string
	var seconds float64
	d := time.Duration(0)
	switch {
	case json.Unmarshal(raw, &text) == nil:
		d, _ = time.ParseDuration(text) // 0 is refused
	case json.Unmarshal(raw, &seconds) == nil && math.Abs(seconds) < math.MaxInt32:
		d = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	}
	if d <= 0 || d > most {
		o.fault(key, "must be seconds, or as 10s, above 0 and at most %v", most)
		return 0
	}
	return d
}

// oneOf tells a text that is none of the words.
func (o *object) oneOf(key, text string, words []string) {
	if text != "" && !slices.Contains(words, text) {
		o.fault(key, "%s", notAWord(text, words))
	}
}
