package apitest

import (
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// hooking are the scenarios of webhooks of the cluster.
var hooking = map[string]func(*site){
	"webhooks are made, shown, changed and forgotten": func(s *site) {
		s.has("CreateWebhook", "GetWebhook", "UpdateWebhook", "DeleteWebhook")
		spec := hookSpec(s.id("first"))
		made, err := s.svc.CreateWebhook(s.Context(), spec)
		made = must(s, made, err)
		shown, err := s.svc.GetWebhook(s.Context(), made.ID)
		for _, w := range []*coordinator.WebhookInfo{made, must(s, shown, err)} {
			s.wantWebhook(w, s.id("first")+" PUT X-A,X-Token 4s 5 own:true [tree_failed task_retry] u night map[env: team:data] active {\"text\":\"{{event.message}}\"}")
			if w.ID == "" || w.CreatedAt.IsZero() || w.URL != "https://hooks.example/in" {
				s.Errorf("it is shown as %+v", w)
			}
			if text := fmt.Sprintf("%+v", w); strings.Contains(text, "canary") || strings.Contains(text, spec.Secret) {
				s.Errorf("it shows what is secret: %s", text)
			}
		}
		name, off, none, timeout, attempts := s.id("second"), false, "", 1500*time.Millisecond, 7
		shown, err = s.svc.UpdateWebhook(s.Context(), made.ID, coordinator.WebhookChange{Name: &name, Enabled: &off, UserID: &none, Timeout: &timeout, MaxAttempts: &attempts,
			HasHeaders: true, Headers: map[string]string{"X-B": "b"}, HasLabels: true, Events: []coordinator.WebhookEvent{coordinator.TreeCompleted}, Body: []byte("null")})
		s.wantWebhook(must(s, shown, err), s.id("second")+" PUT X-B 1.5s 7 own:true [tree_completed]  night map[] disabled ")
		on := true
		shown, err = s.svc.UpdateWebhook(s.Context(), made.ID, coordinator.WebhookChange{Enabled: &on})
		s.wantWebhook(must(s, shown, err), s.id("second")+" PUT X-B 1.5s 7 own:true [tree_completed]  night map[] active ")
		if err := s.svc.DeleteWebhook(s.Context(), made.ID, 0); err != nil {
			s.Error(err)
		}
		_, err = s.svc.GetWebhook(s.Context(), made.ID)
		s.wantFault("the deleted one", err, api.NotFound)
	},
	"webhooks have owners, and are changed only as they were read": func(s *site) {
		s.has("CreateWebhook", "GetWebhook", "UpdateWebhook", "DeleteWebhook")
		spec := hookSpec(s.id("owned"))
		spec.Owner = s.id("team")
		made, err := s.svc.CreateWebhook(s.Context(), spec)
		made = must(s, made, err)
		_, err = s.svc.CreateWebhook(s.Context(), spec)
		s.wantFault("a second one of the name", err, api.Conflict)
		plain := hookSpec(s.id("owned"))
		other, err := s.svc.CreateWebhook(s.Context(), plain)
		if other = must(s, other, err); made.Owner != spec.Owner || made.Revision != 1 || other.Owner != "" {
			s.Errorf("made %+v and %+v", made, other)
		}
		_, err = s.svc.UpdateWebhook(s.Context(), other.ID, coordinator.WebhookChange{Owner: &spec.Owner})
		s.wantFault("the owner has one of the name", err, api.Conflict)
		tree, nobody := "day", ""
		changed, err := s.svc.UpdateWebhook(s.Context(), made.ID, coordinator.WebhookChange{Tree: &tree, IfRevision: 1})
		if changed = must(s, changed, err); changed.Tree != tree || changed.Owner != spec.Owner || changed.Revision != 2 {
			s.Errorf("changed to %+v", changed)
		}
		_, err = s.svc.UpdateWebhook(s.Context(), made.ID, coordinator.WebhookChange{Tree: &nobody, IfRevision: 1})
		s.wantFault("changed as it was before", err, api.Conflict)
		s.wantFault("deleted as it was before", s.svc.DeleteWebhook(s.Context(), made.ID, 1), api.Conflict)
		changed, err = s.svc.UpdateWebhook(s.Context(), made.ID, coordinator.WebhookChange{Owner: &nobody})
		if changed = must(s, changed, err); changed.Owner != "" || changed.Revision != 3 {
			s.Errorf("given up: %+v", changed)
		}
		for id, revision := range map[string]int32{made.ID: 3, other.ID: 0} {
			if err := s.svc.DeleteWebhook(s.Context(), id, revision); err != nil {
				s.Error(err)
			}
		}
		s.wantFault("deleted twice", s.svc.DeleteWebhook(s.Context(), made.ID, 3), api.NotFound)
		spec.Owner = "no owner"
		_, err = s.svc.CreateWebhook(s.Context(), spec)
		s.wantFault("an owner that can't be", err, api.Invalid)
	},
	"webhooks are listed page by page": func(s *site) {
		s.has("CreateWebhook", "ListWebhooks")
		want := ""
		for i := range 3 {
			made, err := s.svc.CreateWebhook(s.Context(), hookSpec(s.id(fmt.Sprint(i))))
			want += must(s, made, err).ID + " "
		}
		got, cursor := "", ""
		for {
			page, err := s.svc.ListWebhooks(s.Context(), coordinator.WebhookFilter{Limit: 2, Cursor: cursor})
			page = must(s, page, err)
			for _, w := range page.Items {
				if strings.HasPrefix(w.Name, s.prefix) {
					got += w.ID + " "
				}
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if got != want {
			s.Errorf("got %q, want %q", got, want)
		}
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("a", ""))
		page, err := s.svc.ListWebhooks(s.Context(), coordinator.WebhookFilter{TaskID: s.id("a")})
		if page = must(s, page, err); len(page.Items) != 0 {
			s.Errorf("a tree without webhooks has %v", page.Items)
		}
	},
	"webhooks are tested, and what was sent is listed and sent again": func(s *site) {
		s.has("CreateWebhook", "TestWebhook", "Deliveries", "Resend")
		made, err := s.svc.CreateWebhook(s.Context(), hookSpec(s.id("tested")))
		id := must(s, made, err).ID
		first, err := s.svc.TestWebhook(s.Context(), id)
		if first = must(s, first, err); first.ID == "" || first.MessageID == "" || first.WebhookID != id || first.Event != "test" || first.Attempts != 1 || first.At.IsZero() || first.Latency <= 0 {
			s.Errorf("got %+v", first)
		}
		again, err := s.svc.Resend(s.Context(), first.ID)
		if again = must(s, again, err); again.ID == first.ID || again.Event != "test" {
			s.Errorf("sent again: %+v", again)
		}
		page, err := s.svc.Deliveries(s.Context(), coordinator.DeliveryFilter{WebhookID: id, Limit: 1})
		page = must(s, page, err)
		next, err := s.svc.Deliveries(s.Context(), coordinator.DeliveryFilter{WebhookID: id, Limit: 1, Cursor: page.Next})
		if next = must(s, next, err); len(page.Items) != 1 || len(next.Items) != 1 || page.Items[0].ID != again.ID || next.Items[0].ID != first.ID || next.Next != "" {
			s.Errorf("listed: %+v, then %+v", page, next)
		}
		if d := page.Items[0]; d.Outcome != again.Outcome || d.Status != again.Status || d.Event != "test" {
			s.Errorf("listed it is %+v, was %+v", d, again)
		}
		failed, err := s.svc.Deliveries(s.Context(), coordinator.DeliveryFilter{WebhookID: id, Failed: true})
		if failed = must(s, failed, err); first.Outcome == coordinator.Delivered && len(failed.Items) != 0 {
			s.Errorf("failed: %+v", failed.Items)
		}
	},
	"what no webhook can be is refused, and what is not there is not found": func(s *site) {
		s.has("CreateWebhook", "GetWebhook", "UpdateWebhook", "DeleteWebhook", "TestWebhook", "Deliveries", "Resend", "ListWebhooks")
		for name, spoil := range map[string]func(*coordinator.WebhookSpec){
			"webhook.url":    func(w *coordinator.WebhookSpec) { w.URL = "" },
			"webhook.events": func(w *coordinator.WebhookSpec) { w.Events = []coordinator.WebhookEvent{"nope"} },
		} {
			spec := hookSpec(s.id("bad"))
			spoil(&spec)
			_, err := s.svc.CreateWebhook(s.Context(), spec)
			if f := s.wantFault(name, err, api.Invalid); f != nil && !strings.Contains(f.Text+fmt.Sprint(f.Problems), name) {
				s.Errorf("got %q %v, want it to name %s", f.Text, f.Problems, name)
			}
		}
		id := s.id("nowhere")
		for name, ask := range map[string]func() error{
			"GetWebhook": func() error { _, err := s.svc.GetWebhook(s.Context(), id); return err },
			"UpdateWebhook": func() error {
				_, err := s.svc.UpdateWebhook(s.Context(), id, coordinator.WebhookChange{Name: &id})
				return err
			},
			"DeleteWebhook": func() error { return s.svc.DeleteWebhook(s.Context(), id, 0) },
			"TestWebhook":   func() error { _, err := s.svc.TestWebhook(s.Context(), id); return err },
			"Resend":        func() error { _, err := s.svc.Resend(s.Context(), id); return err },
			"Deliveries": func() error {
				_, err := s.svc.Deliveries(s.Context(), coordinator.DeliveryFilter{WebhookID: id})
				return err
			},
			"ListWebhooks": func() error {
				_, err := s.svc.ListWebhooks(s.Context(), coordinator.WebhookFilter{TaskID: id})
				return err
			},
		} {
			s.wantFault(name, ask(), api.NotFound)
		}
	},
}

// hookSpec is a webhook with a little of everything.
func hookSpec(name string) coordinator.WebhookSpec {
	return coordinator.WebhookSpec{Name: name, Events: []coordinator.WebhookEvent{coordinator.TaskRetry, coordinator.TreeFailed}, UserID: "u", Tree: "night",
		Labels: map[string]string{"team": "data", "env": ""},
		Webhook: coordinator.Webhook{URL: "https://hooks.example/in", Method: "put", Headers: map[string]string{"X-Token": "canary", "X-A": "a"}, Timeout: 4 * time.Second, MaxAttempts: 5,
			Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Body: []byte(`{"text":"{{event.message}}"}`)}}
}

func (s *site) wantWebhook(w *coordinator.WebhookInfo, want string) {
	s.Helper()
	if got := fmt.Sprintf("%s %s %s %s %d own:%t %v %s %s %v %s %s", w.Name, w.Method, strings.Join(w.HeaderNames, ","), w.Timeout, w.MaxAttempts, w.OwnSecret, w.Events, w.UserID, w.Tree,
		w.Labels, w.State, string(w.Body)); got != want {
		s.Errorf("got  %s\nwant %s", got, want)
	}
}
