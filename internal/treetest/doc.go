// Package treetest runs trees in one process, without a cluster, by mocks: files that say what the attempts of tasks come to, and what is expected of the tree
// (control 12). Time is virtual: it passes when nothing else is left to do.
//
// It owns the mocks file, the virtual clock, and the comparison with what is expected. What becomes of tasks the rules of package dag decide, as in a cluster; this
// package is their store, their workers and their followups, in one goroutine. It must not know where trees and mocks come from, or how a report is shown.
//
// What it does not have: pools and their slots, fair shares, limits, locks and rates (whoever asks is granted at once), secrets, files, and whatever the executors do
// that are mocked.
package treetest
