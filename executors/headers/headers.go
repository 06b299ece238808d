// Package headers makes the headers of a request, or the metadata of a call, from a task's inputs.
//
// It owns which names and values can be sent, credentials as headers, what tells the attempt, and the masking of all this in errors. It must
// not know any protocol: reserved names and encodings are the caller's.
package headers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/taskgrove/taskgrove/executors"
)

// maxBytes bounds all names and values together.
const maxBytes = 64 << 10

// Auth are credentials, as rest_executor's auth (spec 8.3). Incomplete ones are faults.
type Auth struct {
	Type     string `json:"type"` // bearer, basic or apikey
	Token    string `json:"token"`
	Username string `json:"username"`
	Password string `json:"password"`
	Key      string `json:"key"`   // of apikey: the header
	Value    string `json:"value"` // of apikey
}

// AuthSchema is the JSON Schema of [Auth].
const AuthSchema = `{"type": ["object", "null"], "description": "Credentials, sent as a header unless headers have it already", "properties": {
      "type": {"enum": ["bearer", "basic", "apikey"], "description": "bearer: token; basic: username and password; apikey: key and value"},
      "token": {"type": "string", "description": "Of bearer"},
      "username": {"type": "string", "description": "Of basic"}, "password": {"type": "string", "description": "Of basic"},
      "key": {"type": "string", "description": "Of apikey: the name of the header"}, "value": {"type": "string", "description": "Of apikey"}}}`

// Set is what goes outward.
type Set struct {
	http.Header // names in their canonical form
	masked      []string
}

// New makes the headers that an input of the name field gives, with those of the credentials and of the attempt, which give way to an
// equal name. faults say what can't be sent, and show no value.
func New(call *executors.Call, field string, given map[string]json.RawMessage, auth *Auth) (set *Set, faults []string) {
	set = &Set{Header: http.Header{}}
	size := 0
	for name, raw := range given {
		values, err := texts(raw)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			faults = append(faults, fmt.Sprintf("%s: %.100q is not a name that can be sent", field, name))
			continue
		case err != nil:
			faults = append(faults, fmt.Sprintf("%s: the value of %s must be a string or a list of strings", field, name))
			continue
		case slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }):
			faults = append(faults, fmt.Sprintf("%s: the value of %s can't be sent", field, name))
			continue
		}
		for _, value := range values {
			size += len(name) + len(value)
			set.Add(name, value)
			set.hide(name, value)
		}
	}
	if auth != nil {
		if err := set.authorize(auth); err != nil {
			faults = append(faults, err.Error())
		}
	}
	for _, v := range call.Headers() {
		set.Default(v.Name, v.Value)
	}
	if size > maxBytes {
		faults = append(faults, fmt.Sprintf("%s: more than %d bytes", field, maxBytes))
	}
	slices.Sort(faults)
	return set, faults
}

// Default sets a header that is not there yet.
func (s *Set) Default(name, value string) {
	if _, ok := s.Header[http.CanonicalHeaderKey(name)]; !ok {
		s.Set(name, value)
	}
}

func (s *Set) authorize(a *Auth) error {
	name, value := "Authorization", ""
	switch {
	case a.Type == "bearer" && a.Token != "":
		value = "Bearer " + a.Token
	case a.Type == "basic" && a.Username != "":
		value = "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password))
		s.Hide(a.Password)
	case a.Type == "apikey" && a.Key != "" && a.Value != "":
		name, value = a.Key, a.Value
	default:
		return fmt.Errorf("auth must be bearer with a token, basic with a username, or apikey with a key and a value")
	}
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("auth: this can't be sent")
	}
	s.Hide(strings.TrimPrefix(strings.TrimPrefix(value, "Bearer "), "Basic "))
	s.Default(name, value)
	return nil
}

// plain are the headers whose values errors may show.
var plain = []string{"Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Origin", "User-Agent", executors.HeaderKey, executors.HeaderAttempt,
	executors.HeaderLockToken,
	executors.HeaderTraceParent, executors.HeaderTraceState}

// hide masks a header's value: which header carries a credential, only the service knows.
func (s *Set) hide(name, value string) {
	if slices.Contains(plain, http.CanonicalHeaderKey(name)) {
		return
	}
	_, credential, _ := strings.Cut(value, " ") // of "Bearer credential"
	for _, word := range []string{value, credential} {
		if len(word) >= 8 { // a shorter one is likelier a plain word
			s.Hide(word)
		}
	}
}

// Hide masks a word, unless it is too short to be told from other text.
func (s *Set) Hide(word string) {
	if len(word) >= 4 && !slices.Contains(s.masked, word) {
		s.masked = append(s.masked, word)
	}
}

// Mask masks what is hidden in a text from outside.
func (s *Set) Mask(text string) string {
	for _, word := range s.masked {
		text = strings.ReplaceAll(text, word, "***")
	}
	return text
}

// texts reads a string, a number, a boolean or a list of them; null is an empty list.
func texts(raw json.RawMessage) ([]string, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		list = []json.RawMessage{raw}
	}
	values := make([]string, len(list))
	for i, item := range list {
		var text string
		if err := json.Unmarshal(item, &text); err == nil && string(item) != "null" {
			values[i] = text
			continue
		}
		var number json.Number
		var yes bool
		if string(item) == "null" || json.Unmarshal(item, &number) != nil && json.Unmarshal(item, &yes) != nil {
			return nil, fmt.Errorf("not a text")
		}
		values[i] = string(item)
	}
	return values, nil
}
