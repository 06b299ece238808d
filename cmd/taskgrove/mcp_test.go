package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// What docs/mcp-server.md tells to type and to configure works, on a cluster at another port.
func TestMCPTutorial(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/mcp-server.md")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, "dev", "--ephemeral", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0")
	defer p.stop()
	text := strings.ReplaceAll(string(page), "http://127.0.0.1:8000", p.ready.HTTP)
	commands := regexp.MustCompile("(?s)```\n(curl .*?)\n```").FindAllStringSubmatch(text, -1)
	wants := []string{`"name":"execute_task"`, `\"status\": \"completed\"`}
	if len(commands) != len(wants) {
		t.Fatalf("the page has %d commands, want %d", len(commands), len(wants))
	}
	for i, command := range commands {
		if out, err := exec.Command("sh", "-c", command[1]).CombinedOutput(); err != nil || !strings.Contains(string(out), wants[i]) {
			t.Errorf("%s: %v, got %.2000s; want %s", command[1], err, out, wants[i])
		}
	}
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllStringSubmatch(text, -1) {
		var config struct {
			Servers    map[string]struct{ Type, URL string }
			MCPServers map[string]struct {
				Command string
				Args    []string
			}
		}
		if err := json.Unmarshal([]byte(block[1]), &config); err != nil {
			t.Fatalf("%s: %v", block[1], err)
		}
		for _, server := range config.Servers {
			hostUses(t, &sdk.StreamableClientTransport{Endpoint: server.URL})
		}
		for _, server := range config.MCPServers {
			if server.Command != "taskgrove" {
				t.Fatalf("got command %s", server.Command)
			}
			path, err := binary()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, server.Args...)
			var wrong bytes.Buffer
			cmd.Stderr = &wrong
			hostUses(t, &sdk.CommandTransport{Command: cmd})
			if wrong.Len() > 0 {
				t.Errorf("the program said %s", wrong.String())
			}
		}
	}
}

// hostUses does what a host does.
func hostUses(t *testing.T, transport sdk.Transport) {
	t.Helper()
	session, err := sdk.NewClient(&sdk.Implementation{Name: "host", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "execute_task", Arguments: map[string]any{
		"wait": true, "tasks": []any{map[string]any{"name": "cpu", "schemas": map[string]any{"method": "system_info_executor"}, "inputs": map[string]any{"resource": "cpu"}}},
	}})
	if err != nil || res.IsError || !strings.Contains(res.Content[0].(*sdk.TextContent).Text, `"status": "completed"`) {
		t.Errorf("got %+v, %v; want the tree completed", res, err)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
}

func TestEndpointOfMCP(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"localhost:8000": "http://localhost:8000/mcp", "https://tg.example": "https://tg.example/mcp", "http://h:1/": "http://h:1/mcp", "http://h/x/mcp": "http://h/x/mcp",
		"": "", "ftp://h": "", "http://h?x=1": "", "::": "",
	} {
		if got, err := endpoint(given); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", given, got, err, want)
		}
	}
}
