//go:build !linux

package docker

import "github.com/taskgrove/taskgrove/executors"

// warden does nothing here: what a dead worker leaves is ended by the next attempt and the sweep.
type warden struct{ instance string }

func (w *warden) hold(string, executors.Lease) error { return nil }

func (w *warden) free(string) {}

func (w *warden) close() {}

func thisProcess() string { return "" }

func gone(string) bool { return false }
