package main

import "testing"

// TestBugsQuoteTheSource: every bug that is to be built in still finds its place.
func TestBugsQuoteTheSource(t *testing.T) {
	dir := t.TempDir()
	for _, b := range bugs {
		if _, err := b.Overlay("../..", dir); err != nil {
			t.Error(err)
		}
	}
}
