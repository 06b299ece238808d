// Package mcp serves the Model Context Protocol over streamable HTTP on /mcp (spec 7): tools, resources and prompts with which a model
// writes task trees, runs them and finds out what became of them.
//
// It owns the tools' names, their schemas and texts, and which door a request takes: protocol 2026-07-28 and requests without a session are
// stateless, older clients that begin with initialize get a session. It must not know how trees are stored or run, nor how a task is shown:
// package jsonrpc answers each call in the words of the task-tree protocol.
package mcp
