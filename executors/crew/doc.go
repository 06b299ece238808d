// Package crew runs crews of agents (spec 8.11): crewai_executor runs one, batch_crewai_executor several, one after the other.
//
// It owns what a crew is (agents, tasks, the order of the work, a manager who delegates), how a task document says it, and the results. It
// must not know how an agent works on a job, how a model is asked, or what a tool does: packages agent, model and tools do.
//
// The document is the author's, in params; inputs are data, which take the places of variables. What models and tools say never decides who
// is in a crew or which tools there are.
package crew
