package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

const tokenSecret = "a secret of thirty-two bytes, ok"

// asking is double, where callers are asked who they are.
func asking(t *testing.T) {
	t.Helper()
	tokens, err := identity.New(identity.Config{Keys: []string{tokenSecret}})
	if err != nil {
		t.Fatal(err)
	}
	svc := apitest.New()
	doubleAt(t, coordinator.NewAccess(svc, coordinator.ByRoles(svc, coordinator.RoleSettings{Default: coordinator.DefaultRole})), grpcserver.Config{Identify: tokens.Identify})
}

// tokenOf makes a token by the command.
func tokenOf(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("TASKGROVE_JWT_SECRET", tokenSecret)
	token, notes, code := runCommand(t, append([]string{"token", "create", "--user"}, args...)...)
	if code != 0 || notes != "" {
		t.Fatalf("token create: got %d, %s", code, notes)
	}
	return strings.TrimSpace(token)
}

func TestCommandsSendTheirToken(t *testing.T) {
	asking(t)
	amy, root := tokenOf(t, "amy"), tokenOf(t, "root", "--role", "admin", "--expires", "1h")
	tree := file(t, "tree.json", `[{"id":"amys","name":"amys"}]`)
	held := func(token string, args ...string) (string, int) {
		t.Setenv("TASKGROVE_TOKEN", token)
		out, notes, code := runCommand(t, args...)
		return out + notes, code
	}
	if text, code := held("", "submit", tree, "--hold"); code != 1 || !strings.Contains(text, "Missing Authorization header or cookie") || !strings.Contains(text, "TASKGROVE_TOKEN") {
		t.Errorf("without a token: got %d, %s", code, text)
	}
	if text, code := held(amy, "submit", tree, "--hold"); code != 0 {
		t.Fatalf("with one: got %d, %s", code, text)
	}
	if text, code := held(tokenOf(t, "bob"), "get", "amys"); code == 0 || strings.Contains(text, tokenSecret) {
		t.Errorf("another's: got %d, %s", code, text)
	}
	if text, code := held(amy, "workers"); code != 1 || !strings.Contains(text, "Permission denied: User amy has no right to do that over the cluster; missing permission: cluster.read") {
		t.Errorf("workers: got %d, %s", code, text)
	}
	if text, code := held(root, "get", "amys"); code != 0 || !strings.Contains(text, "amys") {
		t.Errorf("as an admin: got %d, %s", code, text)
	}
	t.Setenv("TASKGROVE_TOKEN", "")
	path := file(t, "token", amy+"\n")
	if _, notes, code := runCommand(t, "get", "amys", "--token-file", path); code != 0 {
		t.Errorf("from a file: got %d, %s", code, notes)
	}
	if _, _, code := runCommand(t, "context", "set", "mine", "--server", os.Getenv("TASKGROVE_SERVER"), "--token-file", path, "--use"); code != 0 {
		t.Errorf("a context with a token: got %d", code)
	}
	if _, notes, code := runCommand(t, "get", "amys"); code != 0 {
		t.Errorf("by the context: got %d, %s", code, notes)
	}
	if _, notes, code := runCommand(t, "get", "amys", "--context", "mine", "--server", "127.0.0.1:1"); code == 0 || strings.Contains(notes, "token") {
		t.Errorf("another server: got %d, %s", code, notes)
	}
}

// TestTokensStayOnThisMachine: plain text to others must be asked for.
func TestTokensStayOnThisMachine(t *testing.T) {
	double(t)
	t.Setenv("TASKGROVE_TOKEN", "SHOWN")
	for _, server := range []string{"192.0.2.1:7700", "dns:///grove.example:7700"} {
		if _, notes, code := runCommand(t, "get", "x", "--server", server); code != 2 || !strings.Contains(notes, "plain text") || strings.Contains(notes, "SHOWN") {
			t.Errorf("%s: got %d, %s", server, code, notes)
		}
	}
	if _, notes, code := runCommand(t, "get", "x", "--server", "192.0.2.1:7700", "--plain-token", "--request-timeout", "10ms"); code != 5 {
		t.Errorf("allowed: got %d, %s", code, notes)
	}
	for _, args := range [][]string{{"--tls-ca-file", file(t, "ca", "none")}, {"--token-file", "/nowhere"}} {
		if _, _, code := runCommand(t, append([]string{"get", "x"}, args...)...); code != 2 {
			t.Errorf("%v: got %d", args, code)
		}
	}
}

func TestTokenCreateRefuses(t *testing.T) {
	for fact, args := range map[string][]string{
		"nobody": {"--expires", "1h"}, "the past": {"--user", "amy", "--expires", "-1h"}, "too long a name": {"--user", strings.Repeat("a", 256)},
	} {
		t.Setenv("TASKGROVE_JWT_SECRET", tokenSecret)
		if out, _, code := runCommand(t, append([]string{"token", "create"}, args...)...); code != 2 || out != "" {
			t.Errorf("%s: got %d, %s", fact, code, out)
		}
	}
	t.Setenv("TASKGROVE_JWT_SECRET", "")
	if _, notes, code := runCommand(t, "token", "create", "--user", "amy"); code != 2 || !strings.Contains(notes, "TASKGROVE_JWT_SECRET") {
		t.Errorf("without a secret: got %d, %s", code, notes)
	}
}

// Commands of flows explain an error before those around them do: people are told once what to do.
func TestAdviceIsGivenOnce(t *testing.T) {
	t.Parallel()
	s := &session{server: "127.0.0.1:7700"}
	err := s.explain(t.Context(), unreachable(s.explain(t.Context(), fmt.Errorf("run a flow: %w", client.ErrUnauthenticated))))
	if n := strings.Count(err.Error(), "asks callers who they are"); n != 1 || !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("%d times: %v", n, err)
	}
}
