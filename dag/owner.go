package dag

import "fmt"

// MaxOwnerBytes is how long the name of an owner may be: of who keeps limits, webhooks and the like in files.
const MaxOwnerBytes = 63

// OwnerFault says why a text can't be the name of an owner; empty: it can.
func OwnerFault(name string) string {
	valid := name != "" && len(name) <= MaxOwnerBytes
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		valid = valid && (letter || c == '-' || c == '_' || c == '.' || c == '/')
	}
	if valid {
		return ""
	}
	return fmt.Sprintf("must be 1 to %d letters, digits, -, _, . and /", MaxOwnerBytes)
}
