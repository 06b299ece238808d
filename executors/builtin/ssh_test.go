package builtin_test

import (
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

func init() { parts[ssh.ID] = sshFeatures }

// sshFeatures are those at an OpenSSH server, which ends with the test; where there is none, the test is skipped.
func sshFeatures(t *testing.T, _ *builtin.Config) conformance.Features {
	host := sshtest.For(t)
	inputs := func(more map[string]any) string {
		text, err := json.Marshal(host.Inputs(more))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const secret = "hunter2-canary"
	const work = "sleep 600.375 & sleep 600.375"
	return conformance.Features{
		Quick:    inputs(map[string]any{"command": "echo hello"}),
		Slow:     inputs(map[string]any{"command": work, "timeout": 600}),
		Missing:  map[string]string{`{"username": "u", "command": "c"}`: "[ssh_executor] host is required", `{"host": "h", "command": "c"}`: "[ssh_executor] username is required"},
		Large:    inputs(map[string]any{"command": "head -c 5000000 /dev/zero"}),
		TimesOut: map[string]string{inputs(map[string]any{"command": work, "timeout": 0.4}): "Command timeout after 0.4 seconds"},
		Left:     func() error { return sshtest.Gone("600.375") },
		Failing: []string{
			inputs(map[string]any{"key": nil, "password": secret}),
			inputs(map[string]any{"key": secret}),
			inputs(map[string]any{"passphrase": secret, "username": "nobody-like-that"}),
			inputs(map[string]any{"command": "exit 3", "env": map[string]any{"TOKEN": secret}, "stdin": secret, "fail_on_error": true}),
		},
		Secret: secret,
		Demo: map[string][]string{`{"host": "h", "username": "u", "command": "c"}`: {
			"command", "stdout", "stderr", "return_code", "success", "host", "username"}},
	}
}
