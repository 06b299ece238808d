package transfer

import (
	"encoding/json"
	"strconv"
	"time"
)

// Limit is the input timeout of a protocol: how many seconds its host may take for any one answer, as a number or a text that holds one. Nil: [DefaultLimit].
type Limit float64

// Bounds of a [Limit].
const (
	DefaultLimit = 30 * time.Second
	maxLimit     = 3600 // seconds
)

// UnmarshalJSON implements [json.Unmarshaler].
func (l *Limit) UnmarshalJSON(raw []byte) error {
	word := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &word); err != nil {
			return err
		}
	}
	value, err := strconv.ParseFloat(word, 64)
	*l = Limit(value)
	return err
}

// Duration is the time that it stands for, or what is wrong with it.
func (l *Limit) Duration() (d time.Duration, fault string) {
	switch {
	case l == nil:
		return DefaultLimit, ""
	case !(*l > 0 && *l <= maxLimit): // no number is neither
		return 0, "timeout: must be a number of seconds above 0, 3600 at most"
	}
	return time.Duration(float64(*l) * float64(time.Second)), ""
}
