// Package generate makes task trees of what people ask for in plain language (spec 8.12).
//
// It owns the prompt, the reading of a model's answer, and what a generated tree may hold: which executors, which keys, how much. It must
// not know how a model is asked (package model does), what makes a tree valid (packages dag and treedoc do), or who submits it: it runs
// nothing of a tree.
//
// A model's answer is data. It chooses among the executors that the task was given, and it can't name secrets, connections, pools or
// owners, whatever it says.
package generate
