package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
)

// placed is a service that notes of which namespaces it is asked.
type placed struct {
	*apitest.Service

	mu    sync.Mutex
	asked []string // guarded by mu
}

func (p *placed) In(namespace string) coordinator.Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, namespace)
	return p.Service
}

// take is what was asked since the last time, but for the default, where the server itself looks whether it is ready.
func (p *placed) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := slices.DeleteFunc(slices.Compact(p.asked), func(name string) bool { return name == coordinator.DefaultNamespace })
	p.asked = nil
	return asked
}

// TestCommandsWorkInANamespace: by flag, variable and context, in this order, in calls and in streams.
func TestCommandsWorkInANamespace(t *testing.T) {
	svc := &placed{Service: apitest.New()}
	doubleAt(t, coordinator.NewAccess(svc, coordinator.AllowAll), grpcserver.Config{})
	server := os.Getenv(serverVariable)
	path := home(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"current":"used","contexts":{"used":{"server":%q,"namespace":"of-context"}}}`, server)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		variable, want string
		args           []string
		code           int
	}{
		{"", "of-context", []string{"list"}, exitOK},
		{"of-variable", "of-variable", []string{"list"}, exitOK},
		{"of-variable", "of-flag", []string{"list", "-n", "of-flag"}, exitOK},
		{"", "of-flag", []string{"tree", "x", "--namespace", "of-flag"}, exitError},
		{"", "of-flag", []string{"watch", "x", "-n", "of-flag"}, exitError},
		{"", "of-flag", []string{"logs", "x", "-n", "of-flag"}, exitError},
		{"", "", []string{"list", "-n", "Of_Flag"}, exitUsage},
		{"-x", "", []string{"list"}, exitUsage},
	} {
		t.Setenv(namespaceVariable, tt.variable)
		svc.take()
		_, note, code := runCommand(t, tt.args...)
		asked := svc.take()
		if want := (map[bool][]string{true: {tt.want}})[tt.want != ""]; code != tt.code || !slices.Equal(asked, want) {
			t.Errorf("%s with %q: exit %d, asked %q, want %d, %q\n%s", tt.args, tt.variable, code, asked, tt.code, tt.want, note)
		}
	}
}

// TestNamespacesHaveOneForm: settings take just the names that surfaces take.
func TestNamespacesHaveOneForm(t *testing.T) {
	long := "a123456789012345678901234567890123456789012345678901234567890123"
	for name, valid := range map[string]bool{"a": true, "0-9": true, long[:63]: true, long: false, "-a": false, "a-": false, "A": false, "a_b": false, "a b": false, "ä": false, "*": false} {
		var setting config.Namespace
		if got := setting.Decode(name) == nil; got != valid || api.ValidNamespace(name) != valid {
			t.Errorf("%q: the setting takes it: %v, surfaces do: %v, want %v", name, got, api.ValidNamespace(name), valid)
		}
	}
}
