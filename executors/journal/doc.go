// Package journal keeps what the agents of one run of a task have done, so that a further attempt goes on there.
//
// It owns the record of answers of models and of tools, what is asked for again and what is not, its bound of what a checkpoint may hold, and
// the account of what lost attempts used. It must not know how a model is asked, what a tool does, or how a checkpoint is stored.
//
// Agents are led again through what they did: the loop runs as it did at first, and what it would ask is answered from the record as long as
// that goes. So all that follows from the answers (what the models were told, the bounds, the end of those that go round in circles) is as it
// was. Each job of an agent has a [Lane] of its own, as several agents work beside one another.
package journal
