package coordinator_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// verifier checks deliveries with the library of Standard Webhooks: as they came, and with one byte changed.
const verifier = `
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    d = json.loads(line)
    for secret in d["secrets"]:
        event = Webhook(secret).verify(d["body"], d["headers"])
        try:
            Webhook(secret).verify(d["body"] + " ", d["headers"])
        except WebhookVerificationError:
            print(event["type"])
        else:
            sys.exit("a body that was changed is taken for ours")
from datetime import datetime, timezone
print(Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign("msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, tz=timezone.utc), '{"test": 2432232314}'))
`

// TestInteropStandardWebhooks lets the library of Standard Webhooks verify what is sent: signed by the cluster's two secrets, and by one of the
// webhook's own. It signs the example of TestSignaturesAreThoseOfStandardWebhooks as that does. "make interop" names the Python that has it.
func TestInteropStandardWebhooks(t *testing.T) {
	python := os.Getenv("TASKGROVE_INTEROP_WEBHOOKS")
	if python == "" {
		t.Skip("TASKGROVE_INTEROP_WEBHOOKS names no Python that has standardwebhooks")
	}
	const second, own = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	c := hooked(t, cluster.Options{Coordinator: func(c *config.Coordinator) { c.WebhookSecret = testSecret + "," + second }})
	var lines bytes.Buffer
	want := ""
	for id, secrets := range map[string][]string{"cluster": {testSecret, second}, "own": {own}} {
		r := newReceiver(t)
		hook := &coordinator.Webhook{URL: r.URL}
		if id == "own" {
			hook.Secret = own
		}
		c.Submit(coordinator.SubmitOptions{Webhook: hook}, noop(id, ""))
		for _, d := range r.until(t, "the end", final) {
			headers := map[string]string{}
			for name := range d.Header {
				headers[name] = d.Header.Get(name)
			}
			line, _ := json.Marshal(map[string]any{"secrets": secrets, "body": string(d.Body), "headers": headers})
			lines.Write(append(line, '\n'))
			for range secrets {
				want += d.field("type").(string) + "\n"
			}
		}
	}
	want += "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n"
	cmd := exec.CommandContext(t.Context(), python, "-c", verifier)
	cmd.Stdin = &lines
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, out, want)
	}
}
