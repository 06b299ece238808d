package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/applyfile"
)

// limitKind are limits of operators.
var limitKind = applyKind{
	name: "limit",
	list: func(ctx context.Context, s *session) (out []*applied, err error) {
		for l, err := range s.Limits(ctx, client.LimitFilter{Limit: 1000}) {
			if err != nil {
				return nil, err
			}
			if l.Revision == 0 { // no operator has set it
				continue
			}
			kind, name := limitName(l.LimitTarget)
			one := &applied{name: kind + " " + name, object: l, fields: limitFields(l.LimitSpec)}
			if l.Owner != nil {
				one.owner = *l.Owner
			}
			out = append(out, one)
		}
		return out, nil
	},
	want:  func(_ *session, o *applyfile.Object, _ *applied) []applyField { return limitFields(limitToSet(o)) },
	hides: func(*applyfile.Object, *applied) bool { return false },
	put: func(ctx context.Context, s *session, c *applyChange) (string, error) {
		spec, revision := limitToSet(c.want), int32(0)
		spec.Owner = &c.owner
		if c.is != nil {
			revision = c.is.object.(*client.Limit).Revision
		}
		set, err := s.SetLimitAt(ctx, spec, revision)
		if err != nil || set.Owner == nil {
			return "", err
		}
		return *set.Owner, nil
	},
	drop: func(ctx context.Context, s *session, is *applied) error {
		l := is.object.(*client.Limit)
		return s.DeleteLimitAt(ctx, l.LimitTarget, l.Revision)
	},
}

// limitToSet is the limit of a file.
func limitToSet(o *applyfile.Object) client.LimitSpec {
	l := o.Spec.(*applyfile.Limit)
	return client.LimitSpec{LimitTarget: client.LimitTarget{Key: l.Key, Rate: l.Rate, Pool: l.Pool, UserID: l.UserID},
		Max: l.Max, Running: l.Running, Waiting: l.Waiting, Per: l.Per, Burst: l.Burst, Reason: l.Reason}
}

func limitFields(l client.LimitSpec) []applyField {
	out := []applyField{{"max", number(l.Max)}, {"running", number(l.Running)}, {"waiting", number(l.Waiting)}, {"per", orNil(l.Per)}, {"burst", nil}, {"reason", orNil(l.Reason)}}
	if l.Burst != 0 {
		out[4].Value = l.Burst
	}
	return out
}

// number is a number that is there, or nil.
func number(n *int32) any {
	if n == nil {
		return nil
	}
	return *n
}

// webhookKind are webhooks of the cluster, which are known by their names.
var webhookKind = applyKind{
	name: "webhook",
	list: func(ctx context.Context, s *session) (out []*applied, err error) {
		for w, err := range s.Webhooks(ctx, client.WebhookFilter{PageSize: 1000}) {
			if err != nil {
				return nil, err
			}
			out = append(out, &applied{name: w.Name, owner: w.Owner, object: w, fields: webhookIs(w)})
		}
		return out, nil
	},
	want: func(_ *session, o *applyfile.Object, is *applied) []applyField {
		if is == nil {
			return webhookWant(o, nil)
		}
		return webhookWant(o, is.object.(*client.WebhookInfo))
	},
	hides: func(o *applyfile.Object, is *applied) bool {
		w := o.Spec.(*applyfile.Webhook)
		return w.URLFrom != nil || w.SecretFrom != nil || len(w.Headers) > 0 || is != nil && strings.Contains(is.object.(*client.WebhookInfo).URL, "…")
	},
	put: putWebhook,
	drop: func(ctx context.Context, s *session, is *applied) error {
		w := is.object.(*client.WebhookInfo)
		return s.DeleteWebhookAt(ctx, w.ID, w.Revision)
	},
}

// webhookIs is a webhook as it is shown.
func webhookIs(w *client.WebhookInfo) []applyField {
	secret := any(nil)
	if w.OwnSecret {
		secret = ownSecret
	}
	var events []string
	for _, e := range w.Events {
		events = append(events, string(e))
	}
	return []applyField{{"url", w.URL}, {"method", w.Method}, {"events", events}, {"user_id", orNil(w.UserID)}, {"tree", orNil(w.Tree)}, {"labels", orNoMap(w.Labels)},
		{"timeout", w.Timeout.String()}, {"max_retries", w.MaxAttempts}, {"headers", orNoList(w.HeaderNames)}, {"secret", secret}, {"body", plainJSON(w.Body)}, {"enabled", w.State != "disabled"}}
}

// ownSecret stands for a secret that is there.
const ownSecret = "its own"

// webhookWant is a webhook as a file has it. What can't be known to differ from what is there is as it is there.
func webhookWant(o *applyfile.Object, is *client.WebhookInfo) []applyField {
	w := o.Spec.(*applyfile.Webhook)
	address := w.URL
	if w.URLFrom != nil {
		address, _ = readSource(o, w.URLFrom) // without it, nobody can tell
	}
	shown := address
	switch {
	case is != nil && (address == "" || shownAs(is.URL, address)):
		shown = is.URL
	case w.URLFrom != nil:
		shown = "of the " + w.URLFrom.String()
	}
	secret := any(nil)
	if w.SecretFrom != nil {
		secret = ownSecret
	}
	enabled := true
	switch {
	case w.Enabled != nil:
		enabled = *w.Enabled
	case is != nil:
		enabled = is.State != "disabled"
	}
	return []applyField{{"url", shown}, {"method", w.Method}, {"events", w.Events}, {"user_id", orNil(w.UserID)}, {"tree", orNil(w.Tree)}, {"labels", orNoMap(w.Labels)},
		{"timeout", w.Timeout.String()}, {"max_retries", w.MaxAttempts}, {"headers", orNoList(slices.Sorted(maps.Keys(w.Headers)))}, {"secret", secret}, {"body", plainJSON(w.Body)}, {"enabled", enabled}}
}

// shownAs reports whether a URL can be the one that a server shows so: what may be secret in it is "…" there.
func shownAs(shown, address string) bool {
	var parts []string
	for part := range strings.SplitSeq(shown, "…") {
		parts = append(parts, regexp.QuoteMeta(part))
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(address)
}

func orNoMap(m map[string]string) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

func orNoList(list []string) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

// plainJSON is a document whose spaces and order of keys don't count; nil: there is none.
func plainJSON(raw json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if len(raw) == 0 || d.Decode(&v) != nil {
		return nil
	}
	return v
}

// putWebhook makes a webhook, or changes one to what a file says. What is secret goes only where it must.
func putWebhook(ctx context.Context, s *session, c *applyChange) (string, error) {
	w := c.want.Spec.(*applyfile.Webhook)
	send := client.Webhook{URL: w.URL, Method: w.Method, Timeout: w.Timeout, MaxAttempts: w.MaxAttempts, Body: w.Body, Headers: map[string]string{}}
	if w.URLFrom != nil {
		send.URL = c.read[w.URLFrom]
	}
	if w.SecretFrom != nil {
		send.Secret = c.read[w.SecretFrom]
	}
	for name, h := range w.Headers {
		if send.Headers[name] = h.Value; h.From != nil {
			send.Headers[name] = c.read[h.From]
		}
	}
	if c.is == nil {
		made, err := s.CreateWebhook(ctx, client.WebhookSpec{Webhook: send, Name: w.Name, Events: webhookEvents(w.Events), UserID: w.UserID, Tree: w.Tree, Labels: w.Labels, Owner: c.owner})
		if err != nil {
			return "", err
		}
		if w.Enabled != nil && !*w.Enabled {
			_, err = s.UpdateWebhook(ctx, made.ID, client.WebhookChange{Enabled: w.Enabled, IfRevision: made.Revision})
		}
		return made.Owner, err
	}
	is := c.is.object.(*client.WebhookInfo)
	change := client.WebhookChange{Method: &w.Method, UserID: &w.UserID, Tree: &w.Tree, Labels: &w.Labels, Events: webhookEvents(w.Events), Timeout: &w.Timeout,
		MaxAttempts: &w.MaxAttempts, Body: w.Body, Enabled: w.Enabled, Owner: &c.owner, IfRevision: is.Revision}
	if w.Body == nil {
		change.Body = json.RawMessage("null")
	}
	if c.secrets || c.differs("url") {
		change.URL = &send.URL
	}
	if c.secrets || c.differs("headers") {
		change.Headers = &send.Headers
	}
	if c.secrets || c.differs("secret") {
		change.Secret = &send.Secret
	}
	changed, err := s.UpdateWebhook(ctx, is.ID, change)
	if err != nil {
		return "", err
	}
	return changed.Owner, nil
}
