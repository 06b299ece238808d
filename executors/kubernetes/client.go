package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

// Bounds of what the API answers.
const (
	requestWithin  = 30 * time.Second
	maxAnswerBytes = 8 << 20
)

// api calls the API.
type api struct {
	access *access
	http   *http.Client
}

// newAPI makes one that goes out as the dialer does. The operator chose the address.
func newAPI(a *access, dialer *network.Dialer) *api {
	transport := dialer.Trusted().Transport()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = dialer.TLS("")
	}
	transport.MaxIdleConnsPerHost = 16
	tlsConfig := transport.TLSClientConfig
	if a.authority != nil {
		tlsConfig.RootCAs, tlsConfig.VerifyConnection = a.authority, nil
	}
	if a.name != "" {
		tlsConfig.ServerName = a.name
	}
	tlsConfig.InsecureSkipVerify = a.insecure //nolint:gosec // the operator's kubeconfig says so
	if a.client != nil {
		pair := a.client
		tlsConfig.Certificates = append(tlsConfig.Certificates, *pair)
	}
	return &api{access: a, http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// statusError is a refusal of the API.
type statusError struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	after   time.Duration
}

func (e *statusError) Error() string {
	if e.Message == "" {
		return "status " + strconv.Itoa(e.Code)
	}
	return e.Message
}

// codeOf is the status with which the API refused; 0: it is no refusal.
func codeOf(err error) int {
	refused, ok := errors.AsType[*statusError](err)
	if !ok {
		return 0
	}
	return refused.Code
}

// classed says whether another attempt may succeed.
func classed(what string, err error) error {
	refused, ok := errors.AsType[*statusError](err)
	if err == nil || !ok {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return err
	}
	err = fmt.Errorf("%s: %w", what, err)
	switch refused.Code {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		if strings.Contains(refused.Message, "exceeded quota") { // it gets free again
			return err
		}
		return executors.Permanent(err)
	}
	return executors.RetryAfter(err, refused.after)
}

// open sends a request and gives the answer's body, which the caller closes. query may be nil.
func (a *api) open(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) (io.ReadCloser, error) {
	target := a.access.server + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "taskgrove")
	if err := a.access.authorize(req); err != nil {
		return nil, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok { // it repeats the URL
			err = outer.Err
		}
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	refused := &statusError{}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_ = json.Unmarshal(text, refused)
	refused.Code = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		refused.after = time.Duration(seconds) * time.Second
	}
	return nil, refused
}

// authorize says as whom the request comes.
func (a *access) authorize(req *http.Request) error {
	token := a.token
	if a.tokenFile != "" {
		text, err := readFile(a.tokenFile)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	switch {
	case token != "":
		req.Header.Set("Authorization", "Bearer "+token)
	case a.user != "":
		req.SetBasicAuth(a.user, a.key)
	}
	return nil
}

// call sends a request and reads the answer into out, which may be nil.
func (a *api) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	var body []byte
	contentType := "application/json"
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		if method == http.MethodPatch {
			contentType = "application/merge-patch+json"
		}
	}
	answer, err := a.open(ctx, method, path, query, contentType, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(answer, maxAnswerBytes)) // so that the connection is used again
		return nil
	}
	return json.NewDecoder(io.LimitReader(answer, maxAnswerBytes)).Decode(out)
}

// event is one line of a watch.
type event struct {
	Type   string          `json:"type"` // ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
	Object json.RawMessage `json:"object"`
}

// watch tells of changes to what the query selects, from a version on, until tell says that it has seen enough (true), the server ends the watch
// (nil), or an error.
func (a *api) watch(ctx context.Context, path string, query url.Values, version string, tell func(event) bool) error {
	q := url.Values{}
	for key, values := range query {
		q[key] = values
	}
	q.Set("watch", "true")
	q.Set("resourceVersion", version)
	q.Set("timeoutSeconds", "300")
	body, err := a.open(ctx, http.MethodGet, path, q, "", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var e event
		if err := lines.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if e.Type == "ERROR" {
			refused := &statusError{}
			_ = json.Unmarshal(e.Object, refused)
			return refused
		}
		if tell(e) {
			return nil
		}
	}
}
