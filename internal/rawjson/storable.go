package rawjson

import "bytes"

// Storable is a text from outside, a byte order mark apart, if it is JSON that can be stored with so many levels around it; otherwise nil. jsonb
// has no NUL: within strings it becomes U+FFFD, as invalid UTF-8 does.
func Storable(text []byte, around int) []byte {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\uFEFF")))
	if len(text) == 0 || Check(text) != nil || CheckDepth(text, around) != nil {
		return nil
	}
	if !bytes.Contains(text, []byte(`\u0000`)) {
		return bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	var out []byte
	for rest := text; len(rest) > 0; {
		switch {
		case bytes.HasPrefix(rest, []byte(`\u0000`)):
			out, rest = append(out, `\ufffd`...), rest[6:]
		case rest[0] == '\\': // valid JSON: something follows
			out, rest = append(out, rest[:2]...), rest[2:]
		default:
			out, rest = append(out, rest[0]), rest[1:]
		}
	}
	return bytes.ToValidUTF8(out, []byte("\uFFFD"))
}
