package secrets

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// From how many bytes on a part of a secret is looked for by itself. Shorter ones are words, such as a database's name.
const (
	leastQuery = 8  // a value in the query of a URL, or its path with the query
	leastLeaf  = 16 // a text in JSON, such as the private key of an account
)

// partsOf are the parts of a secret that programs take out of it: of a URL and of a JSON object.
func partsOf(secret string) (parts []string) {
	if strings.HasPrefix(strings.TrimSpace(secret), "{") && json.Valid([]byte(secret)) {
		return appendLeaves(nil, []byte(strings.TrimSpace(secret)))
	}
	u := urlOf(secret)
	if u == nil {
		return nil
	}
	if password := passwordOf(u); len(password) >= leastBytes {
		parts = append(parts, password)
	}
	if uri := u.RequestURI(); len(uri) >= leastQuery {
		parts = append(parts, uri)
	}
	for _, values := range u.Query() {
		for _, value := range values {
			if len(value) >= leastQuery {
				parts = append(parts, value)
			}
		}
	}
	return parts
}

// appendLeaves appends the texts in a JSON value.
func appendLeaves(parts []string, value []byte) []string {
	switch value[0] {
	case '"':
		if text := unquoted(value); len(text) >= leastLeaf {
			parts = append(parts, text)
		}
	case '{':
		for _, member := range rawjson.Members(value) {
			parts = appendLeaves(parts, member)
		}
	case '[':
		for element := range rawjson.Elements(value) {
			parts = appendLeaves(parts, element)
		}
	}
	return parts
}

// urlOf is a text as a URL with a host; nil: it is none.
func urlOf(text string) *url.URL {
	if !strings.Contains(text, "://") {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil
	}
	return u
}

// passwordOf is the password in a URL, or the user where there is none: some services expect a token there.
func passwordOf(u *url.URL) string {
	if password, ok := u.User.Password(); ok {
		return password
	}
	return u.User.Username()
}
