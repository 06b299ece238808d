package coordinator

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
)

// TestSignaturesAreThoseOfStandardWebhooks has the example that the libraries of Standard Webhooks test themselves with.
func TestSignaturesAreThoseOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	key, err := signingKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := signatures([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := signatures([][]byte{key, key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != want+" "+want {
		t.Errorf("with two secrets: got %s", got)
	}
}

func TestWhereWebhooksMayGo(t *testing.T) {
	t.Parallel()
	allow, err := parseAllow([]string{"10.1.0.0/16", "192.0.2.7:8080", "inside.example", "*.corp.example:443", "[fd00::1]:80", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		host, to string
		ok       bool
	}{
		{"a.example:443", "93.184.216.34:443", true},
		{"a.example:443", "10.1.2.3:443", true},
		{"a.example:443", "10.2.2.3:443", false},
		{"192.0.2.7:8080", "192.0.2.7:8080", true},
		{"a.example:443", "127.0.0.1:443", false},
		{"a.example:443", "[::ffff:127.0.0.1]:443", false},
		{"a.example:443", "[64:ff9b::a9fe:a9fe]:443", false},
		{"inside.example:9000", "192.168.0.1:9000", true},
		{"inside.example:9000", "169.254.169.254:9000", false},
		{"x.corp.example:443", "10.9.9.9:443", true},
		{"x.corp.example:80", "10.9.9.9:80", false},
		{"corp.example:443", "10.9.9.9:443", false},
		{"evilcorp.example:443", "10.9.9.9:443", false},
		{"[fd00::1]:80", "[fd00::1]:80", true},
		{"[fd00::1]:81", "[fd00::1]:81", false},
		{"h:1", "[::1]:1", true},
	} {
		if err := allow.check(row.host, netip.MustParseAddrPort(row.to)); (err == nil) != row.ok {
			t.Errorf("%s at %s: got %v, want allowed: %v", row.host, row.to, err, row.ok)
		}
	}
	for _, bad := range []string{"h:x", "a b", "http://h", "*", "a.*.b", "h:0", "10.0.0.0/99"} {
		if _, err := parseAllow([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSecretsAreNotedAndNotShown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://h/a/b":                                       "https://h/a/b",
		"https://h/a?x=1":                                     "https://h/a?x=1",
		"https://h/a?api_key=1":                               "https://h/a?…",
		"https://h/a?x=0123456789012345678901":                "https://h/a?…",
		"https://h/in/0123456789abcdef01234567":               "https://h/in/…",
		"https://hooks.slack.com/services/T0/B0/x":            "https://hooks.slack.com/…",
		"https://prod-1.westus.logic.azure.com/workflows/1?a": "https://prod-1.westus.logic.azure.com/…",
	} {
		if got := shownURL(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
	plain := newDeliverer(WebhookConfig{}, seals{}, "", nil, nil, nil)
	for field, w := range map[string]Webhook{
		"":                      {URL: "https://h/a", Headers: map[string]string{"X-Env": "prod"}},
		"url":                   {URL: "https://hooks.slack.com/services/T0/B0/x"},
		"secret":                {URL: "https://h", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		"headers.Authorization": {URL: "https://h", Headers: map[string]string{"Authorization": "x"}},
		"headers.X":             {URL: "https://h", Headers: map[string]string{"X": "Bearer canary"}},
	} {
		_, err := plain.storable(t.Context(), w, webhookView{})
		if field == "" {
			if err != nil {
				t.Errorf("%+v: %v", w, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "webhook."+field+": looks secret") || !strings.Contains(err.Error(), "TASKGROVE_SEAL_KEY") {
			t.Errorf("%s: got %v", field, err)
		}
	}
	sealing := newDeliverer(WebhookConfig{}, seals{box: testBox(t, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")}, "", nil, nil, nil)
	w := Webhook{URL: "https://h/canary-0123456789abcdef", Headers: map[string]string{"X": "canary"}, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	stored, err := sealing.storable(t.Context(), w, webhookView{})
	if err != nil || strings.Contains(string(stored.Config)+string(stored.Sealed), "canary") || strings.Contains(string(stored.Config), "MfKQ") {
		t.Fatalf("it is stored as %s, %v", stored.Config, err)
	}
	if got, err := sealing.open(t.Context(), stored); err != nil || got.url != w.URL || got.headers["X"] != "canary" || len(got.secrets) != 1 {
		t.Errorf("opened it is %+v, %v", got, err)
	}
	if _, err := plain.open(t.Context(), stored); err == nil {
		t.Error("it was opened without a key")
	}
}

// TestWhatAnswersMean: what a receiver answers decides what becomes of the event, and when it is sent again.
func TestWhatAnswersMean(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		status    int
		after     string // Retry-After
		cluster   bool
		done      bool
		outcome   pg.DeliveryOutcome
		from, end time.Duration // of the pause
	}{
		{204, "", false, true, pg.DeliveryDone, 0, 0},
		{400, "", true, true, pg.DeliveryRefused, 0, 0},
		{301, "", true, true, pg.DeliveryRefused, 0, 0},
		{429, "60", false, true, pg.DeliveryRefused, 0, 0}, // spec 5.5: a 4xx drops the event
		{429, "", true, false, pg.DeliveryRetrying, 5 * time.Second, 6 * time.Second},
		{429, "60", true, false, pg.DeliveryRetrying, time.Minute, time.Minute},
		{429, "Thu, 01 Jan 2026 00:02:00 GMT", true, false, pg.DeliveryRetrying, 2 * time.Minute, 2 * time.Minute},
		{503, "86400", true, false, pg.DeliveryRetrying, time.Hour, time.Hour},
		{503, "60", false, false, pg.DeliveryRetrying, time.Second, time.Second},
		{503, "-5", true, false, pg.DeliveryRetrying, 5 * time.Second, 6 * time.Second},
	} {
		w := &pg.Webhook{Tree: 1}
		if row.cluster {
			w.Tree = 0
		}
		d := newDeliverer(WebhookConfig{}, seals{}, "", nil, nil, newMeter(&Coordinator{engine: &engine{}}))
		turn := &turn{d: d, w: w, c: &pg.WebhookCursor{}, target: &target{view: webhookView{MaxAttempts: 3}}}
		out := judge(row.status, nil)
		out.after = retryAfter(row.after, now)
		done := turn.judge(&message{event: &Event{At: now}}, out)
		if got := turn.move.Deliveries[0].Outcome; done != row.done || got != row.outcome || turn.move.Pause < row.from || turn.move.Pause > row.end {
			t.Errorf("%d %q of the cluster %t: got %t %d after %s", row.status, row.after, row.cluster, done, got, turn.move.Pause)
		}
	}
}

// testBox has one key.
func testBox(t *testing.T, key string) *sealed.Box {
	t.Helper()
	box, err := sealed.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
