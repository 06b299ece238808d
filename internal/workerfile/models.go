package workerfile

import (
	"net/url"
	"strings"
)

// Model is a service that answers for models: one of the operator's own, or another address or key of a known one, such as openai. Tasks name it
// before the model, as in local/llama-3.
type Model struct {
	API string `file:"api"` // openai or anthropic: the wire format; empty: that of the known service, or openai
	URL string `file:"url"` // what stands before /chat/completions or /messages; empty: that of the known service
	// Key is {secret: name}, whatever the pools of the secret. nil: the key is looked for as that of a known service is, and one of the
	// operator's own may need none.
	Key   *ModelKey `file:"key"`
	Pools []string  `file:"pools"` // whose tasks may use it; nil: all
}

// ModelKey is a key, by the name of a secret.
type ModelKey struct {
	Secret string `file:"secret,required"`
}

// Check looks at the values.
func (m *Model) Check(at Place) {
	if m.API != "" && m.API != "openai" && m.API != "anthropic" {
		at.Fault("api", "want openai or anthropic")
	}
	if u, err := url.Parse(m.URL); m.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "") {
		at.Fault("url", "want http:// or https://, a host, and a path if need be, without a user")
	}
	checkPools(at, m.Pools)
}

func checkModels(at Place, models map[string]Model) {
	for name := range models {
		if !ValidName(name) || strings.ToLower(name) != name {
			at.Key(name).Fault("", "model service %.128q: a name has 1 to %d small letters, digits, -, _ and ., and begins with a letter or digit", name, maxName)
		}
	}
}
