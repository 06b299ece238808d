package dag

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag/template"
)

// Bounds of webhooks.
const (
	MaxWebhookNameBytes   = 255
	MaxWebhookURLBytes    = 2048
	MaxWebhookHeaders     = 50
	MaxWebhookHeaderBytes = 16 << 10 // of all names and values
	MaxWebhookBodyBytes   = 64 << 10 // of a template
)

// WebhookURLFault is why a webhook can't send to an address; empty: it can, as far as the text says.
func WebhookURLFault(text string) string {
	u, err := url.Parse(text)
	if err != nil || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "is no URL"
	}
	port, portErr := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case len(text) > MaxWebhookURLBytes:
		return fmt.Sprintf("must be at most %d bytes long", MaxWebhookURLBytes)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return "must begin with https:// or http:// and name a host"
	case u.User != nil:
		return "must not hold a user or a password: send them in a header"
	case u.Port() != "" && (portErr != nil || port == 0):
		return "must have a port from 1 to 65535"
	}
	return ""
}

// deliveryHeaders are those that deliveries of webhooks have themselves.
var deliveryHeaders = []string{"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "keep-alive", "proxy-connection",
	"webhook-id", "webhook-timestamp", "webhook-signature"}

// ValidHeaderName reports whether a header of HTTP may have the name.
func ValidHeaderName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && (r >= utf8.RuneSelf || !strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}) < 0
}

// WebhookHeaderFault is why a webhook can't send along a header of a [ValidHeaderName]; empty: it can.
func WebhookHeaderFault(name, value string) string {
	switch {
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return "has a value that no header can have"
	case slices.Contains(deliveryHeaders, strings.ToLower(name)):
		return "is set by each delivery itself"
	}
	return ""
}

// WebhookBody is how the template of a webhook's body is read, and what it may name.
var WebhookBody = template.Rules{Roots: template.Roots{
	"event":   {Names: 1, Of: []string{"id", "type", "task_id", "name", "status", "progress", "message", "timestamp", "final", "result", "error", "attempt", "sequence"}},
	"tree":    {Names: 1, Of: []string{"id", "name", "user_id", "status", "progress", "tasks", "completed", "failed", "cancelled", "created_at", "started_at", "finished_at", "labels"}},
	"webhook": {Names: 1, Of: []string{"id", "name"}},
}}
