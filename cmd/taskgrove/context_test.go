package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// home gives the test a configuration directory of its own, and no variables of clients. It returns the file of contexts.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("HOME", dir)
	for _, variable := range []string{contextVariable, serverVariable, timeoutVariable} {
		t.Setenv(variable, "")
	}
	path, err := contextsFile()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContexts(t *testing.T) {
	path := home(t)
	for _, tt := range []struct {
		args      string
		out, note string
		code      int
	}{
		{"context list", "", "", exitOK},
		{"context use prod", "", `context "prod" is not known; there is none: taskgrove context set`, exitUsage},
		{"context set prod", "", "--server: a new context needs", exitUsage},
		{"context set prod --server", "", "--server: a value is missing", exitUsage},
		{"context set prod --server host:7700 --request-timeout soon", "", "--request-timeout=soon: not a duration", exitUsage},
		{"context set a/b --server host:7700", "", "is no name of a context", exitUsage},
		{"context set prod --server host:7700 --request-timeout 5s", "", "", exitOK},
		{"context set test.eu --server other:7700 --use -n Team", "", "--namespace=Team: not a name", exitUsage},
		{"context set test.eu --server other:7700 --use -n team-a", "", "", exitOK},
		{"context set prod --server third:7700", "", "", exitOK}, // the rest stays
		{"context list", "   NAME     SERVER      NAMESPACE  REQUEST TIMEOUT\n   prod     third:7700             5s\n*  test.eu  other:7700  team-a     \n", "", exitOK},
		{"context list -o json", `[{"name":"prod","current":false,"server":"third:7700","request_timeout":"5s"},{"name":"test.eu","current":true,"server":"other:7700","namespace":"team-a"}]` + "\n", "", exitOK},
		{"context use nope", "", `context "nope" is not known; there are prod, test.eu`, exitUsage},
		{"list --context nope", "", `context "nope" is not known`, exitUsage},
		{"__complete context use", "prod\ntest.eu\n:4\n", "", exitOK},
		{"__complete list --namespace", "default\nteam-a\n:4\n", "", exitOK},
		{"context delete test.eu", "", "it was the one in use", exitOK},
		{"context use prod", "", "", exitOK},
		{"context", "Usage:", "", exitOK},
	} {
		args := strings.Fields(tt.args)
		if args[0] == "__complete" {
			args = append(args, "")
		}
		out, note, code := runCommand(t, args...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(note, tt.note) {
			t.Errorf("%s: exit %d, want %d\n%s%s", tt.args, code, tt.code, out, note)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: got %v, %v, want its owner's only", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("got %v, %v, want the file and its lock", left, err)
	}
}

func TestWhatGoesBeforeAContext(t *testing.T) {
	path := home(t)
	text := `{"current":"used","contexts":{"used":{"server":"used:1"},"named":{"server":"named:1","request_timeout":"7s"}}}`
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		fact        string
		flags       map[string]string
		environment map[string]string
		server      string
		timeout     string
	}{
		{"the one in use", nil, nil, "used:1", "30s"},
		{"one that a variable names", nil, map[string]string{contextVariable: "named"}, "named:1", "7s"},
		{"a variable before it", nil, map[string]string{contextVariable: "named", serverVariable: "v:1"}, "v:1", "7s"},
		{"a flag's context before that", map[string]string{contextVariable: "named"}, map[string]string{serverVariable: "v:1", contextVariable: "used"}, "named:1", "7s"},
		{"a flag before all", map[string]string{contextVariable: "named", serverVariable: "f:1"}, map[string]string{serverVariable: "v:1"}, "f:1", "7s"},
		{"a flag alone", map[string]string{serverVariable: "f:1"}, nil, "f:1", "30s"},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			for variable, value := range tt.environment {
				t.Setenv(variable, value)
			}
			if tt.flags == nil {
				tt.flags = map[string]string{}
			}
			cfg, err := clientSettings(tt.flags)
			if err != nil || cfg.Server != tt.server || cfg.RequestTimeout.String() != tt.timeout {
				t.Errorf("got %+v, %v, want %s, %s", cfg, err, tt.server, tt.timeout)
			}
		})
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clientSettings(map[string]string{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: got %v, want its name", err)
	}
	if _, err := clientSettings(map[string]string{serverVariable: "f:1"}); err != nil {
		t.Errorf("a broken file that does not matter: %v", err)
	}
}

func TestContextsAreNotLostToOneAnother(t *testing.T) {
	home(t)
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		all.Go(func() {
			if _, note, code := runCommand(t, "context", "set", name, "--server", "h:1"); code != exitOK {
				t.Error(note)
			}
		})
	}
	all.Wait()
	if saved, err := savedContexts(); err != nil || len(saved.Contexts) != 6 {
		t.Errorf("got %+v, %v, want six", saved, err)
	}
}
