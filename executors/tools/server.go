package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/mcp"
	"github.com/taskgrove/taskgrove/executors/model"
)

// serverSchema is what a list says of a server.
var serverSchema = json.RawMessage(`{"type": "object", "properties": {
    "transport": {"type": "string", "description": "stdio, http or sse"},
    "name": {"type": ["string", "null"], "description": "Begins the names of the tools"},
    "connection": {"type": ["string", "null"], "description": "Connection of type mcp or http"},` + mcp.ServerProperties + `},
  "required": ["transport"], "additionalProperties": false}`)

// Servers lets lists name MCP servers, which o reaches. It returns r.
func (r *Registry) Servers(o *mcp.Opener) *Registry {
	r.servers = o
	return r
}

// ofServer makes tools of those of an MCP server. Their use needs the leave for mcp_executor. ctx is the attempt's.
func (s *Session) ofServer(ctx context.Context, f *form) ([]*entry, error) {
	if s.registry.servers == nil || s.call.Toolbox == nil {
		return nil, executors.Permanent(errors.New("mcp: servers can't be used here"))
	}
	d, err := s.call.Toolbox.Tool(mcp.ID)
	if err != nil {
		return nil, fmt.Errorf("mcp: %w", err)
	}
	wanted, fixed, err := f.server()
	if err != nil {
		return nil, executors.Permanent(fmt.Errorf("mcp: %w", err))
	}
	d.Inputs = serverSchema
	call, err := s.call.Toolbox.Resolve(d, fixed)
	if err != nil {
		return nil, fmt.Errorf("mcp: %w", err)
	}
	var server mcp.Server
	if err := inputs.Decode(mcp.ID, call, &server); err != nil {
		return nil, err
	}
	server.Trusted = call.Connection != ""
	session, err := s.registry.servers.Open(ctx, call, server)
	if err != nil {
		return nil, fmt.Errorf("mcp: %w", err)
	}
	s.keep(session)
	all, err := session.Tools(ctx)
	if err != nil {
		return nil, fmt.Errorf("mcp: %w", err)
	}
	return chosen(call, session, &server, all, wanted)
}

// server is the tools that are wanted (nil: all), and what says how the server is reached.
func (f *form) server() (wanted []string, fixed json.RawMessage, err error) {
	var rest []property
	for _, m := range members(f.mcp) {
		if m.name != "tools" {
			rest = append(rest, m)
			continue
		}
		if err := json.Unmarshal(m.schema, &wanted); err != nil {
			return nil, nil, errors.New("tools: must be a list of names")
		}
	}
	fixed, err = connected("mcp", object(rest), f.connection)
	return wanted, fixed, err
}

// chosen are the tools that an agent gets of a server's.
func chosen(call *executors.Call, session *mcp.Session, server *mcp.Server, all []model.Tool, wanted []string) ([]*entry, error) {
	var entries []*entry
	var faults []string
	take := func(spec model.Tool, asked bool) {
		switch _, why := fit(spec.Schema); {
		case why == nil:
			entries = append(entries, &entry{Tool: &serverTool{session, spec}, spec: spec, call: call})
		case asked:
			faults = append(faults, fmt.Sprintf("tool %s has a schema that can't be used: %v", spec.Name, why))
		default:
			call.Reporter.Log("log", fmt.Sprintf("tool %s of an MCP server is left out: its schema can't be used: %v", spec.Name, why))
		}
	}
	if wanted == nil {
		for _, spec := range all {
			take(spec, false)
		}
	}
	for _, name := range wanted {
		i := slices.IndexFunc(all, func(t model.Tool) bool { return t.Name == name || t.Name == plain(server.Name, name) })
		if i < 0 {
			faults = append(faults, fmt.Sprintf("the server has no tool %q; it has %s", shown(name), namesOf(all)))
			continue
		}
		take(all[i], true)
	}
	if len(faults) > 0 {
		return nil, executors.Permanent(errors.New("mcp: " + strings.Join(faults, "; ")))
	}
	return entries, nil
}

// plain is the name of a server's tool as models see it, if no other has it.
func plain(server, name string) string {
	if server != "" {
		name = server + "__" + name
	}
	return strings.Map(func(r rune) rune {
		if r == '-' || r < 0x80 && identifier("_"+string(r)) {
			return r
		}
		return '_'
	}, name)
}

func namesOf(all []model.Tool) string {
	const most = 50
	var names []string
	for _, t := range all[:min(len(all), most)] {
		names = append(names, t.Name)
	}
	if len(all) > most {
		names = append(names, fmt.Sprintf("and %d more", len(all)-most))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// serverTool is one of an MCP server.
type serverTool struct {
	session *mcp.Session
	spec    model.Tool
}

// Spec implements [Tool].
func (t *serverTool) Spec() model.Tool { return t.spec }

// Run implements [Tool].
func (t *serverTool) Run(ctx context.Context, _ *executors.Call, args json.RawMessage) (Answer, error) {
	a, err := t.session.CallTool(ctx, t.spec.Name, args)
	if err != nil {
		return Answer{}, err
	}
	var texts []string
	for _, p := range a.Parts {
		if p.Image != nil {
			p.Text = fmt.Sprintf("[%s, not shown]", p.MediaType)
		}
		texts = append(texts, p.Text)
	}
	return Answer{Text: strings.Join(texts, "\n"), Failed: a.Failed}, nil
}
