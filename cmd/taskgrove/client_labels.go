package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// labelFlag is a flag of labels: KEY=VALUE, several with commas between them, and the flag may be repeated.
type labelFlag struct {
	labels map[string]string
	// selects: KEY alone stands for any value.
	selects bool
}

// String is what was given.
func (f *labelFlag) String() string { return labelText(f.labels) }

// Type is how help calls the value.
func (f *labelFlag) Type() string {
	if f.selects {
		return "KEY[=VALUE],..."
	}
	return "KEY=VALUE"
}

// Set takes one more use of the flag.
func (f *labelFlag) Set(text string) error {
	if f.labels == nil {
		f.labels = map[string]string{}
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, has := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.TrimPrefix(value, "=") // == is the same, as kubectl has it
		if reason := dag.LabelKeyFault(key); reason != "" {
			return usage("key %q %s", key, reason)
		}
		if !has && !f.selects {
			return usage("%q has no value: write %s=VALUE", key, key)
		}
		if other, twice := f.labels[key]; twice && other != value {
			return usage("%q is there twice", key)
		}
		f.labels[key] = value
	}
	return nil
}

// labelText is labels in one line, by their keys.
func labelText(labels map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}
