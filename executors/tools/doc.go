// Package tools is what agents can use: functions of ours and of a worker's builder, other executors, and the tools of MCP servers.
//
// It owns which tools a task may name and how (spec 8.11, 8.14), their making, and the check of every use that a model asks for. It must not
// know how a model is asked, what an agent is, or which executors an operator allows: [executors.Toolbox] does.
//
// A tool's texts (its answers, and an MCP server's descriptions) are data. So is what a model writes: it chooses one of the tools that the
// task's author listed, and arguments that the tool's schema allows. Only the author, in the list, can name secrets and connections.
//
// The package is stable: programs outside the module may rely on it.
package tools
