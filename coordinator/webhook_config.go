package coordinator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/pg"
)

// Bounds of webhooks.
const (
	MaxAttachments     = 10 // of one execution
	maxWebhookTimeout  = time.Minute
	maxWebhookAttempts = 100

	webhookTimeout         = 30 * time.Second
	webhookAttempts        = 3
	clusterWebhookAttempts = 10
)

// webhookView is what Postgres may see of a webhook.
type webhookView struct {
	URL         string            `json:"url"` // without what may be secret, if it is sealed
	Method      string            `json:"method"`
	Headers     map[string]string `json:"headers,omitempty"` // if they are not sealed
	HeaderNames []string          `json:"header_names,omitempty"`
	TimeoutMS   int64             `json:"timeout_ms"`
	MaxAttempts int               `json:"max_attempts"`
	OwnSecret   bool              `json:"own_secret,omitempty"`
	Body        json.RawMessage   `json:"body,omitempty"`
	Form        string            `json:"form,omitempty"`
	UserID      string            `json:"user_id,omitempty"`
	Tree        string            `json:"tree,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// webhookSecrets is what is sealed.
type webhookSecrets struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Secret  string            `json:"secret,omitempty"`
}

// target is a webhook as deliveries need it.
type target struct {
	view    webhookView
	url     string
	headers map[string]string
	own     string   // its own secret; empty: none
	secrets [][]byte // that sign; none: it is not signed
}

// webhookFault names a field of a webhook and why it can't be accepted.
func webhookFault(field, format string, args ...any) error {
	return &InvalidArgumentError{Field: "webhook." + field, Reason: fmt.Sprintf(format, args...)}
}

// check fills in defaults and finds the first fault.
func (w *Webhook) check(attempts int, allow *webhookAllow) error {
	w.Method = strings.ToUpper(w.Method)
	switch {
	case w.Method == "":
		w.Method = "POST"
	case w.Method != "POST" && w.Method != "PUT":
		return webhookFault("method", "must be POST or PUT")
	}
	switch {
	case w.Timeout == 0:
		w.Timeout = webhookTimeout
	case w.Timeout < 0 || w.Timeout > maxWebhookTimeout:
		return webhookFault("timeout", "must be above 0 and at most %g seconds", maxWebhookTimeout.Seconds())
	}
	switch {
	case w.MaxAttempts == 0:
		w.MaxAttempts = attempts
	case w.MaxAttempts < 0 || w.MaxAttempts > maxWebhookAttempts:
		return webhookFault("max_retries", "must be at least 1 and at most %d", maxWebhookAttempts)
	}
	if err := w.checkURL(allow); err != nil {
		return err
	}
	if err := w.checkHeaders(); err != nil {
		return err
	}
	if w.Secret != "" {
		if _, err := signingKey(w.Secret); err != nil {
			return webhookFault("secret", "%v", err)
		}
	}
	return w.checkBody()
}

func (w *Webhook) checkURL(allow *webhookAllow) error {
	if w.URL == "" {
		return webhookFault("url", "is required")
	}
	if fault := dag.WebhookURLFault(w.URL); fault != "" {
		return webhookFault("url", "%s", fault)
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return webhookFault("url", "is no URL")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := allow.check(hostOf(u), netip.AddrPortFrom(addr, portOf(u))); err != nil {
			return webhookFault("url", "%v", err)
		}
	}
	return nil
}

// hostOf is host:port of a URL, in lower case.
func hostOf(u *url.URL) string {
	return net.JoinHostPort(strings.ToLower(u.Hostname()), fmt.Sprint(portOf(u)))
}

func portOf(u *url.URL) uint16 {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, _ := net.LookupPort("tcp", port)
	return uint16(n)
}

func (w *Webhook) checkHeaders() error {
	if len(w.Headers) > dag.MaxWebhookHeaders {
		return webhookFault("headers", "must be at most %d", dag.MaxWebhookHeaders)
	}
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		value := w.Headers[name]
		bytes += len(name) + len(value)
		if !dag.ValidHeaderName(name) {
			return webhookFault("headers", "%.60q is no name of a header", name)
		}
		if fault := dag.WebhookHeaderFault(name, value); fault != "" {
			return webhookFault("headers."+name, "%s", fault)
		}
	}
	if bytes > dag.MaxWebhookHeaderBytes {
		return webhookFault("headers", "must have at most %d bytes in all", dag.MaxWebhookHeaderBytes)
	}
	return nil
}

// secretPrefix begins a secret that signs, as Standard Webhooks have it.
const secretPrefix = "whsec_"

// signingKey is the key of a secret. Its error shows nothing of it.
func signingKey(secret string) ([]byte, error) {
	rest, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("must be %s and base64 of 24 to 64 bytes", secretPrefix)
	}
	return key, nil
}

// storedBodyRules are those by which a stored body is rendered. Version 0.9 stored what is refused since.
var storedBodyRules = template.Rules{Roots: dag.WebhookBody.Roots, Blanks: true}

func (w *Webhook) checkBody() error {
	if len(w.Body) == 0 || string(bytes.TrimSpace(w.Body)) == "null" {
		w.Body = nil
		return nil
	}
	if len(w.Body) > dag.MaxWebhookBodyBytes {
		return webhookFault("body", "must be at most %d bytes of JSON", dag.MaxWebhookBodyBytes)
	}
	document, err := decodeDocument(w.Body)
	if err != nil || !utf8.Valid(w.Body) {
		return webhookFault("body", "must be JSON")
	}
	if faults := dag.WebhookBody.Check(document, nil); len(faults) > 0 {
		return webhookFault("body", "%v", faults[0])
	}
	return nil
}

// decodeDocument reads JSON with its numbers as they are written.
func decodeDocument(raw []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err = d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("there is more after it")
	}
	return v, nil
}

// storable is a webhook as it is stored, with an id of its own. What may be secret is sealed; without a key for that, it is refused.
func (d *deliverer) storable(ctx context.Context, w Webhook, view webhookView) (*pg.Webhook, error) {
	u, err := url.Parse(w.URL)
	if err != nil {
		return nil, webhookFault("url", "is no URL")
	}
	out := &pg.Webhook{ID: "wh_" + strings.ReplaceAll(uuid.NewString(), "-", ""), Host: hostOf(u)}
	return out, d.seal(ctx, out, w, view)
}

// seal sets what is stored of a webhook.
func (d *deliverer) seal(ctx context.Context, out *pg.Webhook, w Webhook, view webhookView) (err error) {
	view.URL, view.Method, view.TimeoutMS, view.MaxAttempts = w.URL, w.Method, w.Timeout.Milliseconds(), w.MaxAttempts
	view.OwnSecret, view.Body, view.HeaderNames, view.Headers = w.Secret != "", w.Body, slices.Sorted(maps.Keys(w.Headers)), nil
	if d.seals.can() {
		secrets, err := json.Marshal(webhookSecrets{w.URL, w.Headers, w.Secret})
		if err != nil {
			return err
		}
		if out.Sealed, err = d.seals.seal(ctx, secrets, out.ID); err != nil {
			return err
		}
		view.URL = shownURL(w.URL)
	} else {
		if field := w.secretField(); field != "" {
			return webhookFault(field, "looks secret, and there is no key to seal it with: set TASKGROVE_SEAL_KEY or TASKGROVE_SEAL_KEY_FILE")
		}
		view.Headers, out.Sealed = w.Headers, nil
	}
	out.Config, err = json.Marshal(view)
	return err
}

// open is the webhook as deliveries need it.
func (d *deliverer) open(ctx context.Context, w *pg.Webhook) (*target, error) {
	t := &target{}
	if err := json.Unmarshal(w.Config, &t.view); err != nil {
		return nil, fmt.Errorf("webhook %s can't be read: %w", w.ID, err)
	}
	t.url, t.headers = t.view.URL, t.view.Headers
	t.secrets = d.secrets
	if w.Sealed == nil {
		return t, nil
	}
	plain, err := d.seals.open(ctx, w.Sealed, w.ID)
	if err != nil {
		return nil, fmt.Errorf("its secrets can't be opened: %w", err)
	}
	var s webhookSecrets
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("its secrets can't be read")
	}
	t.url, t.headers = s.URL, s.Headers
	if s.Secret != "" {
		key, err := signingKey(s.Secret)
		if err != nil {
			return nil, err
		}
		t.own, t.secrets = s.Secret, [][]byte{key}
	}
	return t, nil
}

// secretHosts are services whose URLs are the secret themselves.
var secretHosts = []string{"hooks.slack.com", "discord.com", "discordapp.com", "logic.azure.com", "webhook.office.com", "powerplatform.com", "chat.googleapis.com"}

// secretWords are in names of what is secret.
var secretWords = []string{"auth", "token", "secret", "key", "passw", "pwd", "cookie", "credential", "signature", "sig", "session", "jwt"}

func looksSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// secretField is the first field that looks as if it held a secret; empty: none does.
func (w *Webhook) secretField() string {
	if w.Secret != "" {
		return "secret"
	}
	if shownURL(w.URL) != w.URL {
		return "url"
	}
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		scheme, _, more := strings.Cut(strings.ToLower(w.Headers[name]), " ")
		if looksSecret(name) || more && slices.Contains([]string{"bearer", "basic", "digest", "token"}, scheme) {
			return "headers." + name
		}
	}
	return ""
}

// shownURL is a URL without what may be secret in it: the query, long parts of the path, all of the path of services whose URLs are secret.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	base := u.Scheme + "://" + u.Host
	host := strings.ToLower(u.Hostname())
	if slices.ContainsFunc(secretHosts, func(h string) bool { return host == h || strings.HasSuffix(host, "."+h) }) {
		return base + "/…"
	}
	parts := strings.Split(u.EscapedPath(), "/")
	for i, part := range parts {
		if len(part) >= 20 && strings.ContainsAny(part, "0123456789") {
			parts[i] = "…"
		}
	}
	shown := base + strings.Join(parts, "/")
	query := u.Query()
	if len(query) == 0 {
		return shown
	}
	for name := range query {
		if looksSecret(name) || len(query.Get(name)) >= 20 {
			return shown + "?…"
		}
	}
	return shown + "?" + u.RawQuery
}
