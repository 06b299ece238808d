// Package agent lets a model work on a job with tools, turn by turn, until it has an answer.
//
// It owns the loop: what the model is told, the uses of tools that it asks for, how both are bounded, and the end of a model that goes round in
// circles. It must not know how a model is asked, what a tool does, or what agents have to do with one another: package crew does.
//
// What a model writes and what a tool answers are data. They choose among the tools that the agent was given, and nothing else.
package agent
