package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/config"
)

// TestFaultsOfTheFileOfCallers: all at once, each with its line, and nothing of a secret.
func TestFaultsOfTheFileOfCallers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("secret", "a secret of thirty-two bytes, ok\n")
	write("short", "SHOWN")
	for fact, tt := range map[string]struct {
		text string
		want []string // parts of the error; none: it is right
	}{
		"all at once": {"issuers:\n- issuer: http://id.example\n  audience: []\n  leeway: 1h\n  refresh: 1s\n  algorithms: [HS256, none]\n  colour: red\n- audience: [a]\n  jwks_url: http://id.example\nmachines:\n- uri: a\n  cn: b\n- dns: A.example\n",
			[]string{"callers.yaml:2:", "issuers[0].issuer: without", "issuers[0].audience: names no", "issuers[0].leeway: at most", "issuers[0].refresh: from", "issuers[0].algorithms[0]:", "issuers[0].algorithms[1]:",
				"callers.yaml:7:", "issuers[0].colour: unknown key", "issuers[1].issuer: is missing", "issuers[1].jwks_url: want an https", "machines[0]: a machine has just one", "machines[1].dns:"}},
		"nothing":               {"{}", []string{"it names no issuer and no machine"}},
		"one twice":             {"issuers:\n- {issuer: 'https://a', audience: [a]}\n- {issuer: 'https://a', audience: [b]}\n", []string{"issuers[1].issuer: is there twice"}},
		"two sources of keys":   {"issuers:\n- {issuer: a, audience: [a], secret_file: secret, jwks_url: 'https://a'}\n", []string{"keys come from one of"}},
		"no such file":          {"issuers:\n- {issuer: a, audience: [a], secret_file: none}\n", []string{"issuers[0]", "none"}},
		"a short secret":        {"issuers:\n- {issuer: a, audience: [a], secret_file: short}\n", []string{"issuers[0]", "8 bytes"}},
		"a secret by its file":  {"issuers:\n- {issuer: a, audience: [a], secret_file: secret}\n", nil},
		"an issuer's own keys":  {"issuers:\n- {issuer: 'https://id.example', audience: [a], claims: {user: email, group_roles: {ops: [operator]}}}\n", nil},
		"machines and no token": {"machines:\n- {uri: 'spiffe://a/*', roles: [submitter]}\n", nil},
	} {
		cfg := config.Auth{Algorithm: "HS256", CallersFile: write("callers.yaml", tt.text)}
		callers, err := authOf(&cfg).callers()
		if len(tt.want) == 0 && (err != nil || callers == nil) {
			t.Errorf("%s: got %v", fact, err)
		}
		for _, part := range append(tt.want, map[bool][]string{true: {"TASKGROVE_CALLERS_FILE"}}[len(tt.want) > 0]...) {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "SHOWN") {
				t.Errorf("%s: got %v, want %q", fact, err, part)
			}
		}
	}
}
