package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/mcp"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// mcpServer is a server with the tools echo, fails, and one whose schema nobody can use.
func mcpServer(t *testing.T) string {
	server := sdk.NewServer(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	add := func(name, schema string, do func(args string) *sdk.CallToolResult) {
		server.AddTool(&sdk.Tool{Name: name, Description: "does " + name, InputSchema: json.RawMessage(schema)}, func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			return do(string(r.Params.Arguments)), nil
		})
	}
	text := func(s string) *sdk.CallToolResult {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: s}, &sdk.ImageContent{Data: []byte("x"), MIMEType: "image/png"}}}
	}
	add("echo", `{"type":"object","properties":{"q":{"type":"string"}},"required":["q"]}`, func(args string) *sdk.CallToolResult { return text("said " + args) })
	add("fails", `{"type":"object"}`, func(string) *sdk.CallToolResult {
		r := text("it failed")
		r.IsError = true
		return r
	})
	add("odd", `{"type":"object","properties":{"a":{"$ref":"https://example.org/schema"}}}`, func(string) *sdk.CallToolResult { return text("odd") })
	s := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil))
	t.Cleanup(s.Close)
	return s.URL
}

// TestServersLendTheirTools: those that the list names, after one handshake, with all that is wrong told before any use.
func TestServersLendTheirTools(t *testing.T) {
	t.Parallel()
	url := mcpServer(t)
	opener := mcp.NewOpener(mcp.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
	call, report := conformance.Call(t, `{}`)
	call.Toolbox = &box{call: call, allowed: map[string]executors.Description{"mcp_executor": mcp.New(mcp.Config{}, nil).Describe()}}
	session := tools.NewRegistry().Servers(opener).Session(call)
	resolve := func(form string) (*tools.Set, []error) {
		return session.Resolve(t.Context(), "t", fmt.Appendf(nil, `[{"mcp":{"transport":"http","url":%q%s}}]`, url, form))
	}
	set, faults := resolve(`,"tools":["echo","fails"],"name":"srv"`)
	if len(faults) > 0 || len(set.Specs()) != 2 || set.Specs()[0].Name != "srv__echo" || set.Specs()[0].Description != "does echo" {
		t.Fatalf("got %v, %v", set.Specs(), faults)
	}
	for wish, want := range map[string]string{
		`srv__echo {"q":"x"}`: "said {\"q\":\"x\"}\n[image/png, not shown]", `srv__echo {}`: "Error: [srv__echo] q is required in inputs",
		`srv__fails {}`: "it failed\n[image/png, not shown]", `srv__odd {}`: `Error: there is no tool "srv__odd"; the tools are: srv__echo, srv__fails`,
	} {
		name, args, _ := strings.Cut(wish, " ")
		answer, err := set.Use(t.Context(), model.ToolCall{Name: name, Arguments: json.RawMessage(args)})
		if err != nil || answer.Text != want || answer.Failed != !strings.HasPrefix(want, "said") {
			t.Errorf("%s: got %v, %v", wish, answer, err)
		}
	}
	if set, faults := resolve(``); len(faults) > 0 || len(set.Specs()) != 2 || !strings.Contains(fmt.Sprint(report.Lines()), "tool odd of an MCP server is left out") {
		t.Errorf("got %v, %v, %v", set.Specs(), faults, report.Lines())
	}
	for form, want := range map[string]string{
		`,"tools":["Echo","odd"]`: `t[0]: mcp: the server has no tool "Echo"; it has`, `,"tools":"echo"`: `t[0]: mcp: tools: must be a list of names`,
		`,"Transport":"stdio"`: `t[0]: mcp: [mcp_executor] Input validation failed for MCP Executor: additional properties 'Transport' not allowed`,
		`,"connection":7`:      `t[0]: mcp: [mcp_executor] Input validation failed for MCP Executor: connection: got number, want string`,
	} {
		if _, faults := resolve(form); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), want) || !executors.IsPermanent(faults[0]) {
			t.Errorf("%s: got %v", form, faults)
		}
	}
	for list, want := range map[string]string{
		`[{"mcp":{"transport":"stdio"}}]`:                  `t[0]: mcp: [mcp_executor] command is required for stdio transport`,
		`[{"mcp":{"transport":"stdio","command":["sh"]}}]`: `t[0]: mcp: [mcp_executor] Command execution is disabled`,
		`[{"mcp":{"transport":"http","url":"file:///x"}}]`: `t[0]: mcp: [mcp_executor] url must be an http:// or https:// URL`,
		`[{"mcp":{}}]`: `t[0]: mcp: [mcp_executor] transport is required in inputs`,
	} {
		if _, faults := session.Resolve(t.Context(), "t", json.RawMessage(list)); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), want) || !executors.IsPermanent(faults[0]) {
			t.Errorf("%s: got %v", list, faults)
		}
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	if answer, err := set.Use(t.Context(), model.ToolCall{Name: "srv__echo", Arguments: json.RawMessage(`{"q":"x"}`)}); err != nil || !answer.Failed {
		t.Errorf("a closed session answers %v, %v", answer, err)
	}
	call.Toolbox = &box{}
	if _, faults := tools.NewRegistry().Servers(opener).Session(call).Resolve(t.Context(), "t", json.RawMessage(`[{"mcp":{"transport":"http"}}]`)); len(faults) != 1 || faults[0].Error() != "t[0]: mcp: mcp_executor is not allowed" {
		t.Errorf("got %v", faults)
	}
}
