package dag

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the labels of a tree. Keys are as those of Kubernetes: a name, and before it, if anything, a DNS name and a slash.
const (
	MaxLabels          = 64
	MaxLabelName       = 63
	MaxLabelPrefix     = 253
	MaxLabelValueChars = 255
	MaxLabelBytes      = 4096 // of all keys and values of a tree
)

// CheckLabels says what is wrong with labels, in the order of their keys; nothing if all is well. Each fault names the key, and does not quote the value.
func CheckLabels(labels map[string]string) (faults []string) {
	if len(labels) > MaxLabels {
		return []string{fmt.Sprintf("must be at most %d, got %d", MaxLabels, len(labels))}
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value := labels[key]
		size += len(key) + len(value)
		if reason := LabelKeyFault(key); reason != "" {
			faults = append(faults, fmt.Sprintf("key %q %s", printable(cut(key, MaxLabelPrefix)), reason))
			continue
		}
		if reason := labelValueFault(value); reason != "" {
			faults = append(faults, fmt.Sprintf("value of %q %s", key, reason))
		}
	}
	if size > MaxLabelBytes {
		faults = append(faults, fmt.Sprintf("must be at most %d bytes in all, got %d", MaxLabelBytes, size))
	}
	return faults
}

// LabelKeyFault says what is wrong with the key of a label; empty: nothing.
func LabelKeyFault(key string) string {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		prefix, name = "", key
	}
	switch {
	case prefixed && !dnsName(prefix):
		return fmt.Sprintf("must have a DNS name of at most %d characters before the slash", MaxLabelPrefix)
	case len(name) > MaxLabelName || !labelName(name):
		return fmt.Sprintf("must be 1 to %d letters, digits, '-', '_' and '.', with a letter or digit at both ends", MaxLabelName)
	}
	return ""
}

// labelName reports whether a text is made of letters, digits, '-', '_' and '.', with a letter or digit at both ends.
func labelName(s string) bool {
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// dnsName reports whether a text is lower-case words with dots between them.
func dnsName(s string) bool {
	if len(s) > MaxLabelPrefix {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !labelName(part) || len(part) > MaxLabelName || strings.ToLower(part) != part || strings.Contains(part, "_") {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// labelValueFault says what is wrong with the value of a label; empty: nothing. A comma would end it where filters are written in one text.
func labelValueFault(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case utf8.RuneCountInString(s) > MaxLabelValueChars:
		return fmt.Sprintf("must be at most %d characters, got %d", MaxLabelValueChars, utf8.RuneCountInString(s))
	case strings.ContainsRune(s, ',') || strings.IndexFunc(s, unicode.IsControl) >= 0:
		return "must not hold commas or control characters"
	case strings.TrimSpace(s) != s:
		return "must not begin or end with a space"
	}
	return ""
}

// labels checks those of a root.
func (c *check) labels() {
	t := c.task
	if len(t.Labels) == 0 {
		return
	}
	if t.ParentRef != "" {
		c.field("labels", "only the root task may have them")
		return
	}
	for _, fault := range CheckLabels(t.Labels) {
		c.field("labels", "%s", fault)
	}
}
