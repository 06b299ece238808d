package jsonrpc

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// The bounds of webhook_config.
const (
	maxWebhookTimeout  = time.Minute
	maxWebhookAttempts = 100
)

// webhookOf reads webhook_config (spec 5.5); nil: none, which {} is, too. Addresses are for the service to judge.
func webhookOf(raw json.RawMessage) (*coordinator.Webhook, error) {
	switch kind(raw) {
	case 0, 'n':
		return nil, nil
	case '{':
	default:
		return nil, invalid("webhook_config", "webhook_config must be an object")
	}
	p, err := named(raw)
	if err != nil || len(p.values) == 0 {
		return nil, err
	}
	w := &coordinator.Webhook{
		URL: p.text("url"), Method: strings.ToUpper(p.text("method")), Headers: p.texts("headers"), Secret: p.text("secret"),
		Timeout:     time.Duration(p.seconds("timeout", 30) * float64(time.Second)),
		MaxAttempts: p.number("max_retries", 3, 0, maxWebhookAttempts),
	}
	if p.given("body") {
		w.Body = append(json.RawMessage(nil), p.values["body"]...) // it outlives the request
	}
	if w.Method != "" && w.Method != "POST" && w.Method != "PUT" {
		p.refuse("method", "POST or PUT")
	}
	if w.Timeout > maxWebhookTimeout {
		p.refuse("timeout", "at most 60 seconds")
	}
	w.MaxAttempts = max(w.MaxAttempts, 1) // the first attempt is no repetition
	if w.URL == "" && p.err == nil {
		return nil, invalid("webhook_config.url", "webhook_config.url is required")
	}
	return w, within("webhook_config", p.err)
}

// within names the object that the parameter at fault stands in.
func within(object string, err error) error {
	fault, ok := err.(*api.Fault)
	if !ok {
		return err
	}
	return invalid(object+"."+fault.Field, "%s.%s", object, fault.Text)
}
