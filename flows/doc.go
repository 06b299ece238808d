// Package flows reads flows, YAML documents of jobs and steps with strict templates, tells every fault of them, and compiles them to task trees.
//
// It owns the form of a flow document, what its parts may say and refer to, the codes of its faults, and what tree becomes of it. It must not know how a tree is
// stored or run, where environments and resources come from, or which executors a process has: callers hand those in. It reads no clock, no environment and no file:
// the same document and the same run give the same faults and the same tree everywhere.
//
//	file ─ treefile.DecodeStrict ─▶ values with places ─ look (keys, types, templates) ─▶ Document ─ check (ids, order, references) ─▶ Report
//	                                                                                        └────── Compile(run) ─▶ task tree
package flows
