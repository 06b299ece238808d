package coordinator_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestRecipesAreAccepted has the recipes of the page sent to services that refuse what the documented formats of Slack and Teams don't allow.
func TestRecipesAreAccepted(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	c := hooked(t, cluster.Options{})
	for heading, accepts := range map[string]func(body map[string]any) bool{"### Slack": acceptedBySlack, "### Microsoft Teams": acceptedByTeams} {
		_, rest, ok := strings.Cut(string(page), heading+"\n")
		recipe := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(rest)
		if !ok || recipe == nil {
			t.Fatalf("%s: no recipe", heading)
		}
		r := newReceiver(t)
		r.answer = func(_ int, d delivered) int {
			var body map[string]any
			if json.Unmarshal(d.Body, &body) != nil || !accepts(body) {
				return 400
			}
			return 200
		}
		info, err := c.Service().CreateWebhook(t.Context(), coordinator.WebhookSpec{Name: heading, Events: []coordinator.WebhookEvent{coordinator.TreeFailed},
			Webhook: coordinator.Webhook{URL: r.URL, Body: json.RawMessage(recipe[1])}})
		if err != nil {
			t.Fatalf("%s: %v", heading, err)
		}
		bad := noop("bad "+heading, "")
		bad.Inputs = []byte(`{"fail":"it broke"}`)
		c.Submit(coordinator.SubmitOptions{}, bad)
		got := r.until(t, heading, func(d []delivered) bool { return len(d) > 0 })
		if text := string(got[0].Body); !strings.Contains(text, "bad "+heading) || !strings.Contains(text, "Tree finished with status: failed") {
			t.Errorf("%s: sent %s", heading, text)
		}
		if d, err := c.Service().TestWebhook(t.Context(), info.ID); err != nil || d.Outcome != coordinator.Delivered {
			t.Errorf("%s: %+v, %v", heading, d, err)
		}
	}
}

// acceptedBySlack: an object with a text of its documented keys (api.slack.com, incoming webhooks).
func acceptedBySlack(body map[string]any) bool {
	for key := range body {
		if key != "text" && key != "blocks" && key != "attachments" && key != "thread_ts" && key != "mrkdwn" {
			return false
		}
	}
	text, ok := body["text"].(string)
	return ok && text != ""
}

// acceptedByTeams: a message with one attachment that is an Adaptive Card whose elements have texts.
func acceptedByTeams(body map[string]any) bool {
	all, _ := body["attachments"].([]any)
	if body["type"] != "message" || len(all) != 1 {
		return false
	}
	one, _ := all[0].(map[string]any)
	card, _ := one["content"].(map[string]any)
	elements, _ := card["body"].([]any)
	if one["contentType"] != "application/vnd.microsoft.card.adaptive" || card["type"] != "AdaptiveCard" || card["version"] != "1.4" || len(elements) == 0 {
		return false
	}
	for _, e := range elements {
		element, _ := e.(map[string]any)
		switch element["type"] {
		case "TextBlock":
			if text, ok := element["text"].(string); !ok || text == "" {
				return false
			}
		case "FactSet":
			facts, _ := element["facts"].([]any)
			for _, f := range facts {
				fact, _ := f.(map[string]any)
				_, title := fact["title"].(string)
				if _, value := fact["value"].(string); !title || !value {
					return false
				}
			}
		default:
			return false
		}
	}
	return true
}
