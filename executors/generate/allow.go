package generate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
)

// plain are the executors that generated trees may use unless somebody says otherwise. What they do outside goes through the guard of
// addresses, and they touch nothing of the worker's host.
var plain = []string{
	"system_info_executor", "rest_executor", "grpc_executor", "websocket_executor", "llm_executor", "aggregate_results_executor",
	"noop_executor", "noop_repeatable_executor", "sleep_executor",
}

// commanding are those that run commands or code, here or on other hosts, or start other trees or tasks, which may do so: it takes allow_commands to have them in a
// generated tree. All others, such as those of files and databases and a worker's own, take being named.
var commanding = []string{
	"command_executor", "external.process", "ssh_executor", "docker_executor", "kubernetes_executor", "python_executor", "mcp_executor", "apflow_api_executor", "map_executor", "subtree_executor",
}

// allowed decides which of the executors that there are a generated tree may use. Its faults name the inputs.
func (c *Config) allowed(in *input, all []executors.Description) (list []executors.Description, faults []string) {
	commands := in.AllowCommands != nil && *in.AllowCommands
	if commands && c.NoCommands {
		faults = append(faults, "allow_commands: the worker's operator does not allow commands in generated trees (TASKGROVE_GENERATE_COMMANDS)")
	}
	var known dag.Known
	for _, d := range all {
		known.Add(d.ID, d.Type)
	}
	wanted := map[string]bool{}
	for _, name := range in.Executors {
		id := resolved(known, name)
		if fault := c.refusal(id, known, commands); fault != "" {
			faults = append(faults, "executors: "+fault)
		}
		wanted[id] = true
	}
	for _, d := range all {
		byDefault := slices.Contains(plain, d.ID) || commands && slices.Contains(commanding, d.ID)
		if (wanted[d.ID] || len(in.Executors) == 0 && byDefault) && c.permits(d.ID) {
			list = append(list, d)
		}
	}
	if len(list) == 0 && len(faults) == 0 {
		faults = append(faults, "executors: there is none that the tree may use; the worker's operator allows "+cmp.Or(strings.Join(c.Executors, ", "), "all that there are"))
	}
	return list, faults
}

// refusal says why an executor can't be had; empty: it can.
func (c *Config) refusal(id string, known dag.Known, commands bool) string {
	switch {
	case id == ID:
		return fmt.Sprintf("%s can't be part of a generated tree", ID)
	case !known.Has(id):
		return fmt.Sprintf("there is no %s; there are %s", quoted(id), strings.Join(known.IDs(), ", "))
	case !c.permits(id):
		return fmt.Sprintf("%s is not one that the worker's operator allows in generated trees (TASKGROVE_GENERATE_EXECUTORS)", id)
	case slices.Contains(commanding, id) && !commands:
		return fmt.Sprintf("%s runs commands or code, or starts other tasks: it takes allow_commands: true", id)
	}
	return ""
}

// permits reports whether the operator has an executor in generated trees.
func (c *Config) permits(id string) bool {
	return id != ID && (len(c.Executors) == 0 || slices.ContainsFunc(c.Executors, func(name string) bool { return name == id || name+"_executor" == id }))
}

// resolved is the executor that a name, whole or without its suffix, stands for.
func resolved(known dag.Known, name string) string {
	if name = strings.TrimSpace(name); !known.Has(name) && known.Has(name+"_executor") {
		return name + "_executor"
	}
	return name
}

// quoted is a name that somebody made up, fit for a text.
func quoted(name string) string {
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "…"
	}
	return fmt.Sprintf("%q", name)
}
