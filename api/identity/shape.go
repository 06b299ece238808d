package identity

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// alphabet is that of base64 in URLs.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// types are those of tokens that say who somebody is: in the header's typ, in small letters (RFC 7519, 5.1; RFC 9068, 2.1).
var types = []string{"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"}

// shape is what a token says before anything of it is believed.
type shape struct {
	alg, kid, issuer string
}

// shapeOf reads a token. What no token may have is refused: other letters, names that are there twice, deep nesting, parameters that must be
// understood (RFC 7515, 4.1.11), types of other things. Header parameters that bring a key along (jwk, jku, x5c, x5u) are not even looked at.
func shapeOf(token string) (s shape, err error) {
	if len(token) > MaxTokenBytes {
		return s, refuse(Malformed, "it is longer than %d bytes", MaxTokenBytes)
	}
	if strings.ContainsFunc(token, func(c rune) bool { return c != '.' && !strings.ContainsRune(alphabet, c) }) { // decoders skip line breaks
		return s, refuse(Malformed, "it has other characters than tokens")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return s, refuse(Malformed, "it has %d parts, not 3", len(parts))
	}
	header, err := object(parts[0])
	if err != nil {
		return s, err
	}
	claims, err := object(parts[1])
	if err != nil {
		return s, err
	}
	kind := ""
	for name, to := range map[string]*string{"alg": &s.alg, "kid": &s.kid, "typ": &kind} {
		if raw, there := header[name]; there && json.Unmarshal(raw, to) != nil {
			return s, refuse(Malformed, "its %s is no text", name)
		}
	}
	if raw, there := claims["iss"]; there && json.Unmarshal(raw, &s.issuer) != nil {
		return s, refuse(Malformed, "its iss is no text")
	}
	if _, critical := header["crit"]; critical {
		return s, refuse(Malformed, "its header has critical parameters")
	}
	for _, one := range types {
		if strings.ToLower(kind) == one {
			return s, nil
		}
	}
	return s, refuse(Malformed, "it is of another type than tokens of callers")
}

// object reads a part of a token.
func object(part string) (map[string]json.RawMessage, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, refuse(Malformed, "a part is not in base64")
	}
	if tooDeep(raw) || !jsontext.Value(raw).IsValid() { // no name is there twice
		return nil, refuse(Malformed, "a part is no JSON that tokens may have")
	}
	var out map[string]json.RawMessage
	if json.Unmarshal(raw, &out) != nil || out == nil {
		return nil, refuse(Malformed, "a part is no object")
	}
	return out, nil
}

// tooDeep reports whether a text nests more than [maxDepth] levels. It counts brackets in texts, too, as no claim has that many.
func tooDeep(raw []byte) bool {
	depth := 0
	for _, c := range raw {
		switch c {
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
