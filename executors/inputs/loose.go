package inputs

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Integer is an integer, or a text that holds one, as defaults of templates do.
type Integer int64

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Integer) UnmarshalJSON(text []byte) error {
	word := string(text)
	if text[0] == '"' {
		if err := json.Unmarshal(text, &word); err != nil {
			return err
		}
	}
	value, err := strconv.ParseInt(strings.TrimSpace(word), 10, 64)
	*n = Integer(value)
	return err
}

// Or is the number, or another where there is none.
func (n *Integer) Or(otherwise int64) int64 {
	if n == nil {
		return otherwise
	}
	return int64(*n)
}

// Flag is true or false, or a text that says so, as defaults of templates do; yes, no, on and off count, too, in any case.
type Flag bool

// UnmarshalJSON implements [json.Unmarshaler].
func (f *Flag) UnmarshalJSON(text []byte) error {
	switch strings.ToLower(strings.Trim(string(text), `" `)) {
	case "true", "yes", "on":
		*f = true
	case "false", "no", "off":
		*f = false
	default:
		return errors.New("want true or false")
	}
	return nil
}

// Or is the flag, or what counts where there is none.
func (f *Flag) Or(otherwise bool) bool {
	if f == nil {
		return otherwise
	}
	return bool(*f)
}

// List is a list, the JSON of one as a text, as templates make of it, or one value that stands for a list of it. An empty text is an empty list.
type List []json.RawMessage

// UnmarshalJSON implements [json.Unmarshaler].
func (l *List) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	all := []json.RawMessage{}
	switch text[0] {
	case '[':
		if err := json.Unmarshal(text, &all); err != nil {
			return err
		}
	case '"':
		var word string
		if err := json.Unmarshal(text, &word); err != nil {
			return err
		}
		if inner := strings.TrimSpace(word); !strings.HasPrefix(inner, "[") || json.Unmarshal([]byte(inner), &all) != nil {
			if all = nil; inner != "" {
				all = []json.RawMessage{bytes.Clone(text)}
			}
		}
	case '{':
		all = []json.RawMessage{bytes.Clone(text)}
	case 'n':
		*l = nil
		return nil
	default:
		return errors.New("want a list, or a text")
	}
	if *l = all; all == nil {
		*l = List{}
	}
	return nil
}

// Texts are the elements, which must be texts. The error says which is not.
func (l List) Texts() ([]string, error) {
	texts := make([]string, len(l))
	for i, one := range l {
		if json.Unmarshal(one, &texts[i]) != nil || bytes.Equal(one, []byte("null")) {
			return nil, errors.New("[" + strconv.Itoa(i) + "] must be a text")
		}
	}
	return texts, nil
}
