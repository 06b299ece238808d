package main

import "testing"

// TestStepsQuoteTheSource: every edit that leaves a step out still finds its place.
func TestStepsQuoteTheSource(t *testing.T) {
	dir := t.TempDir()
	for _, s := range steps {
		if s.edit == nil {
			continue
		}
		if _, err := s.edit.Overlay("../..", dir); err != nil {
			t.Error(err)
		}
	}
}
