package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Result is an answer (spec 8.3). Header names are in lower case; repeated headers are joined by ", ".
type Result struct {
	URL             string            `json:"url"`
	StatusCode      int               `json:"status_code"`
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	JSON            json.RawMessage   `json:"json"`
	Success         bool              `json:"success"`
	Method          string            `json:"method"`
	Truncated       bool              `json:"truncated,omitempty"`
	TruncatedFields []string          `json:"truncated_fields,omitempty"`
	Encoding        string            `json:"encoding,omitempty"` // of Body: empty for text, or base64
}

func (e *Executor) read(r *request, resp *http.Response) (*Result, error) {
	body, err := io.ReadAll(resp.Body) // in memory, see whole
	if err != nil {
		return nil, &bodyError{err}
	}
	result := &Result{
		URL: r.secrets.url(resp.Request.URL), StatusCode: resp.StatusCode, Method: r.method,
		Success: resp.StatusCode >= 200 && resp.StatusCode < 300,
		Headers: make(map[string]string, len(resp.Header)),
	}
	for name, values := range resp.Header {
		result.Headers[strings.ToLower(name)] = executors.Text([]byte(strings.Join(values, ", ")))
	}
	if location, ok := result.Headers["location"]; ok { // a redirect that was not followed may repeat the query
		if to, err := url.Parse(location); err == nil && (r.secrets.param != "" || to.User != nil) {
			location = r.secrets.url(to)
		}
		result.Headers["location"] = r.secrets.mask(location)
	}
	if len(body) > e.cfg.MaxBodyBytes {
		body, result.Truncated = body[:e.cfg.MaxBodyBytes], true
	}
	raw := body
	body = decode(raw, resp.Header.Get("Content-Type"))
	if result.Body, result.Encoding = executors.Faithful(body, result.Truncated); result.Encoding != "" {
		result.Body, _ = executors.Faithful(raw, result.Truncated) // as it came
	}
	result.TruncatedFields = executors.TruncatedFields(map[string]bool{"body": result.Truncated, "json": result.Truncated})
	if !result.Truncated {
		result.JSON = rawjson.Storable(body, around)
	}
	return result, nil
}

// decode turns a body into UTF-8 if its type names another known charset.
func decode(body []byte, contentType string) []byte {
	_, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	if err != nil || charset == "" || charset == "utf-8" {
		return body
	}
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return body
	}
	if plain, err := encoding.NewDecoder().Bytes(body); err == nil {
		return plain
	}
	return body
}

// around is how many levels a result may get around the body: our own, and those of executors that gather results.
const around = 16

// failure is the error for a status other than 2xx while fail_on_error is set.
func (r *Result) failure(header http.Header) error {
	err := fmt.Errorf("%s %s: status %d %s", r.Method, r.URL, r.StatusCode, http.StatusText(r.StatusCode))
	return headers.Classed(err, r.StatusCode, header)
}
