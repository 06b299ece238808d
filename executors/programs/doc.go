// Package programs says which programs of the worker's host a task may start, and what they see.
//
// It owns the allow-list and the environment of child processes, for every executor that starts some: a program is chosen by its first word, a
// shell is only there where every program is allowed, and a task can't change what a word stands for. It must not know how a process is
// run (package guardian does), or what an executor wants of it.
package programs
