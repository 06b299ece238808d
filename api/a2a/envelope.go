package a2a

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// call is one JSON-RPC request.
type call struct {
	id       json.RawMessage
	method   string
	params   json.RawMessage
	metadata json.RawMessage // beside params (spec 12.5)
	config   json.RawMessage
}

// byteOrderMark begins what some editors and shells write; readers may ignore it (RFC 8259, 8.1).
var byteOrderMark = []byte("\xef\xbb\xbf")

// readCall reads a request. The call comes with an error, too, once its id is known.
func readCall(body []byte) (*call, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
	if err := rawjson.Check(body); err != nil {
		return nil, fault(codeParse, "the request %v", err)
	}
	if body[0] == '[' {
		return nil, fault(codeRequest, "A2A has no batches: send one request at a time")
	}
	v, err := valuesOf(body, "the request", nil)
	if err != nil {
		return nil, fault(codeRequest, "%v", err)
	}
	c := &call{id: json.RawMessage("null"), params: v["params"], metadata: v["metadata"], config: v["configuration"]}
	if id := v["id"]; len(id) > 0 {
		if strings.ContainsAny(string(id[:1]), "{[tf") {
			return c, fault(codeRequest, "id must be a string, a number or null")
		}
		c.id = bytes.Clone(id)
	}
	if version, err := v.text("jsonrpc"); err != nil || version != "2.0" && !absent(v["jsonrpc"]) {
		return c, fault(codeRequest, `jsonrpc must be "2.0"`)
	}
	if c.method, err = v.text("method"); err != nil || c.method == "" {
		return c, fault(codeRequest, "method must be a string")
	}
	return c, nil
}

// bodyFault is why a body could not be read.
func (h *Handler) bodyFault(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault(codeRequest, "the request is larger than %d bytes", h.cfg.MaxBodyBytes)
	}
	if _, known := errors.AsType[*api.Fault](err); known || errors.Is(err, api.ErrOverload) {
		return err
	}
	return fault(codeParse, "the request could not be read to its end")
}

// versions are those that a client may name: the oldest line names none.
var versions = map[string]line{"": line03, "0.3": line03, "0.3.0": line03, "1.0": line1, "1": line1}

func lineOf(headers http.Header) line { return versions[headers.Get(a2a.SvcParamVersion)] }

func knownVersion(headers http.Header) bool {
	_, known := versions[headers.Get(a2a.SvcParamVersion)]
	return known
}

// headerProtocol chooses the dialect of the task-tree protocol (spec 12.5).
const headerProtocol = "X-Task-Protocol"

// delegated reports whether a request on / is one of the task-tree protocol, in the dialect that the published text has.
func delegated(headers http.Header, body []byte) bool {
	if headers.Get(headerProtocol) == "1.0" {
		return true
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
	if len(body) == 0 || rawjson.Check(body) != nil {
		return false
	}
	if body[0] == '[' {
		for element := range rawjson.Elements(body) {
			return named10(element)
		}
	}
	return named10(body)
}

func named10(request []byte) bool {
	for name, value := range rawjson.Members(request) {
		if string(name) == `"protocol"` {
			return string(value) == `"1.0"`
		}
	}
	return false
}

// delegate hands a request to the task-tree protocol's own surface.
func (h *Handler) delegate(w http.ResponseWriter, r *http.Request, body []byte) {
	there := r.Clone(r.Context())
	there.URL.Path, there.URL.RawPath = "/tasks", ""
	there.Body, there.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	h.tasks.ServeHTTP(w, there)
}
