package model

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// wire is a format in which models are asked.
type wire interface {
	// path follows the base address.
	path(base *url.URL) string
	// faults are what of a request the format can't express.
	faults(r *Request) []string
	// encode makes the body.
	encode(q *question) ([]byte, error)
	// authorize sets the headers that say who asks.
	authorize(h http.Header, r *route)
	// decode reads an answer that came at once.
	decode(q *question, body []byte, to *draft) error
	// event reads an event of a streamed answer, and says whether that was the last. text is what it adds to the answer.
	event(q *question, e event, to *draft) (text string, last bool, err error)
}

// question is a request on its way to one model.
type question struct {
	*Request
	route      *route
	max        int // tokens of the answer; 0: the service decides
	tally      *tally
	plainUsage bool // the service refuses stream_options
}

// endpoint is the address of a path behind a base, whose query stays.
func endpoint(base *url.URL, path string) string {
	u := *base
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+path, ""
	return u.String()
}

// body is a JSON object whose further fields give way to its own.
type body map[string]any

func (b body) encode(extra map[string]json.RawMessage) ([]byte, error) {
	for name, value := range extra {
		if _, have := b[name]; !have {
			b[name] = value
		}
	}
	return json.Marshal(b)
}
