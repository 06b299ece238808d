package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

// TestWebhooksByCommands: made with what is secret in variables and files, shown without it, changed, tested, sent again, and forgotten.
func TestWebhooksByCommands(t *testing.T) {
	svc := double(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOOK_TOKEN", "Bearer canary")
	t.Setenv("HOOK_URL", "https://hooks.example/canary")
	out, notes, code := runCommand(t, "webhooks", "create", "https://hooks.example/in", "--events", "tree_failed,task_retry", "--label", "team=data", "--name", "night", "--header-env",
		"Authorization=HOOK_TOKEN", "--secret-file", secret, "--body", `{"text":"{{event.message}}"}`, "--method", "put", "--timeout", "5s", "--max-retries", "7", "-o", "json")
	var made struct {
		ID          string   `json:"id"`
		HeaderNames []string `json:"header_names"`
		OwnSecret   bool     `json:"own_secret"`
		Timeout     float64  `json:"timeout"`
		Labels      map[string]string
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || code != 0 || made.ID == "" || len(made.HeaderNames) != 1 || !made.OwnSecret || made.Timeout != 5 || made.Labels["team"] != "data" {
		t.Fatalf("got %d, %s %s, %v", code, out, notes, err)
	}
	if strings.Contains(out+notes, "canary") || strings.Contains(out+notes, "MfKQ9r8") {
		t.Errorf("it shows what is secret: %s", out)
	}
	for _, tt := range []struct {
		args string
		want string // in what is printed
		code int
	}{
		{"webhooks list", "night", 0},
		{"webhooks get " + made.ID, "by its own secret", 0},
		{"webhooks get nope", "not found", 1},
		{"webhooks update " + made.ID + " --name day --disable --events tree_completed --header-env X=HOOK_TOKEN", "disabled", 0},
		{"webhooks update " + made.ID + " --enable", "active", 0},
		{"webhooks test " + made.ID, "delivered", 0},
		{"webhooks deliveries " + made.ID, "test", 0},
		{"webhooks deliveries --failed " + made.ID, "there are no deliveries", 0},
		{"webhooks resend 1", "delivered", 0},
		{"webhooks resend 99", "not found", 1},
		{"webhooks create --events tree_failed", "url", 2},
		{"webhooks create --url-env HOOK_URL", "events", 2},
		{"webhooks create --url-env HOOK_URL https://h --events tree_failed", "give one of them", 2},
		{"webhooks create https://h --header-env X", "must be NAME=", 2},
		{"webhooks create https://h --secret-env NO_SUCH_HOOK", "there is no variable NO_SUCH_HOOK", 2},
		{"webhooks delete " + made.ID + " nope", made.ID + ": deleted", 1},
		{"webhooks list", "there are no webhooks", 0},
	} {
		out, notes, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+notes, tt.want) || strings.Contains(out+notes, "canary") {
			t.Errorf("%s: got %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, notes)
		}
	}
	tree := filepath.Join(t.TempDir(), "tree.json")
	if err := os.WriteFile(tree, []byte(`{"name":"a","schemas":{"method":"noop_executor"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]coordinator.Webhook{
		"--webhook https://h/x --webhook-header-env X-Token=HOOK_TOKEN --webhook-max-retries 4": {URL: "https://h/x", Headers: map[string]string{"X-Token": "Bearer canary"}, MaxAttempts: 4},
		"--webhook-url-env HOOK_URL --webhook-secret-file " + secret:                            {URL: "https://hooks.example/canary", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
	} {
		if _, notes, code := runCommand(t, append([]string{"submit", tree}, strings.Fields(args)...)...); code != 0 {
			t.Fatalf("%s: %s", args, notes)
		}
		got := svc.LastSubmit().Webhook
		if got == nil || got.URL != want.URL || got.Headers["X-Token"] != want.Headers["X-Token"] || got.MaxAttempts != want.MaxAttempts || got.Secret != want.Secret {
			t.Errorf("%s: got %+v", args, got)
		}
	}
}
