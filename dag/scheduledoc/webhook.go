package scheduledoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/internal/cron"
)

// Bounds of webhooks.
const (
	DefaultTolerance = 5 * time.Minute
	MaxTolerance     = time.Hour
	maxPicked        = 100 // parameters that are picked from a payload
	maxPathBytes     = 255
	maxPathParts     = 32
)

// Webhook is what a schedule says of the webhook that begins its runs.
type Webhook struct {
	// Parameters are parameters of the run by where they are in the payload: "report.day", "items.0"; none: all of the payload, which must be an object, is laid over the schedule's.
	Parameters map[string]string `json:"parameters,omitempty"`
	// Tolerance is by how much the time of a call may be another than the cluster's, as seconds or 1h30m; empty: DefaultTolerance.
	Tolerance seconds `json:"tolerance,omitempty"`
}

// NewWebhook is a webhook whose tolerance is a text; empty: DefaultTolerance.
func NewWebhook(parameters map[string]string, tolerance string) *Webhook {
	return &Webhook{Parameters: parameters, Tolerance: seconds(tolerance)}
}

// seconds are written as a number or a text.
type seconds string

// UnmarshalJSON takes a whole number, too.
func (s *seconds) UnmarshalJSON(raw []byte) error {
	if n, err := strconv.ParseUint(string(bytes.TrimSpace(raw)), 10, 63); err == nil {
		*s = seconds(strconv.FormatUint(n, 10))
		return nil
	}
	return json.Unmarshal(raw, (*string)(s))
}

// webhook checks what is said of a webhook.
func (c *checker) webhook() {
	if c.On.Schedule != "" || len(c.On.Outcome) > 0 {
		c.wrong("on.schedule", "does not go with on.webhook: one of them begins runs")
	}
	if len(c.On.Webhook.Parameters) > maxPicked {
		c.wrong("on.webhook.parameters", "are %d, the most is %d", len(c.On.Webhook.Parameters), maxPicked)
	}
	for _, name := range slices.Sorted(maps.Keys(c.On.Webhook.Parameters)) {
		if name == "" || len(name) > MaxIDBytes || !plain(name) {
			c.wrong("on.webhook.parameters", "has a name that is empty, longer than %d bytes or not printable", MaxIDBytes)
		} else if why := pathFault(c.On.Webhook.Parameters[name]); why != "" {
			c.wrong("on.webhook.parameters."+printable(name), "%s", why)
		}
	}
	if c.On.Webhook.Tolerance == "" {
		return
	}
	if n, err := cron.ParseTime("tolerance", string(c.On.Webhook.Tolerance)); err != nil {
		c.fault("on.webhook.tolerance", err)
	} else if n < time.Second || n > MaxTolerance {
		c.wrong("on.webhook.tolerance", "must be from 1 second to 1 hour")
	}
}

// pathFault is why a text names no place in a payload; empty: it does.
func pathFault(path string) string {
	if len(path) > maxPathBytes || !plain(path) || strings.Count(path, ".") >= maxPathParts || slices.Contains(strings.Split(path, "."), "") {
		return fmt.Sprintf("must be where the value is in the payload, as report.day: names, and numbers of items, with dots between, at most %d of them and %d bytes", maxPathParts, maxPathBytes)
	}
	return ""
}

// ToleranceOf is by how much the time of a call may be another than the cluster's. It was checked.
func (w *Webhook) ToleranceOf() time.Duration {
	if n, err := cron.ParseTime("tolerance", string(w.Tolerance)); err == nil && w.Tolerance != "" {
		return n
	}
	return DefaultTolerance
}

// Pick takes the parameters of a run from a payload, which is JSON. fault says what is wrong with the payload, with the field; a zero one: nothing.
// What a payload does not have is as the schedule says.
func (w *Webhook) Pick(payload []byte) (parameters json.RawMessage, fault Fault) {
	var document any
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		return nil, Fault{Field: "body", Reason: "must be JSON"}
	}
	picked, isObject := document.(map[string]any)
	if len(w.Parameters) == 0 && !isObject {
		return nil, Fault{Field: "body", Reason: "must be an object, as its members are the parameters of the run"}
	}
	if len(w.Parameters) > 0 {
		picked = map[string]any{}
		for name, path := range w.Parameters {
			if v, there := at(document, path); there {
				picked[name] = v
			}
		}
	}
	raw, err := json.Marshal(picked)
	switch {
	case err != nil:
		return nil, Fault{Field: "body", Reason: "must be JSON"}
	case len(raw) > MaxParametersBytes:
		return nil, Fault{Field: "body", Reason: fmt.Sprintf("gives parameters of %d bytes, the most is %d", len(raw), MaxParametersBytes)}
	}
	return raw, Fault{}
}

// at is the value at a place of a document.
func at(v any, path string) (any, bool) {
	for part := range strings.SplitSeq(path, ".") {
		switch of := v.(type) {
		case map[string]any:
			member, there := of[part]
			if !there {
				return nil, false
			}
			v = member
		case []any:
			i, err := strconv.ParseUint(part, 10, 31)
			if err != nil || i >= uint64(len(of)) {
				return nil, false
			}
			v = of[i]
		default:
			return nil, false
		}
	}
	return v, true
}
