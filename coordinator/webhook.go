package coordinator

import (
	"encoding/json"
	"time"
)

// Webhook is where the events of one execution are sent (spec 5.5).
type Webhook struct {
	URL         string
	Method      string            // POST or PUT; empty: POST
	Headers     map[string]string // sent along; never shown again
	Timeout     time.Duration     // of one request; 0: 30 s
	MaxAttempts int               // of one delivery; 0: 3
	Secret      string            // "whsec_…", signs deliveries; empty: the cluster's own
	Body        json.RawMessage   // a template of the body; nil: that of spec 5.5
}
