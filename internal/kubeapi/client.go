package kubeapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of what the API answers, and how long it may take to.
const (
	RequestWithin  = 30 * time.Second
	maxAnswerBytes = 8 << 20
)

// A Client calls the API. Safe for concurrent use.
type Client struct {
	access *Access
	http   *http.Client
}

// New makes a client that connects to the API without a proxy.
func New(a *Access) *Client {
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute}
	return NewWith(a, transport)
}

// NewWith makes a client that goes out by the transport, which is the client's from then on. How to prove itself and whom to trust, the
// access says.
func NewWith(a *Access, transport *http.Transport) *Client {
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config := transport.TLSClientConfig
	if a.Authority != nil {
		config.RootCAs, config.VerifyConnection = a.Authority, nil
	}
	if a.Name != "" {
		config.ServerName = a.Name
	}
	config.InsecureSkipVerify = a.Insecure //nolint:gosec // the operator's kubeconfig says so
	if a.Client != nil {
		config.Certificates = append(config.Certificates, *a.Client)
	}
	return &Client{access: a, http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Close closes connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// StatusError is a refusal of the API.
type StatusError struct {
	Code    int           `json:"code"`
	Reason  string        `json:"reason"`
	Message string        `json:"message"`
	After   time.Duration `json:"-"` // after which the API wants to be asked again; 0: it does not say
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Message == "" {
		return "status " + strconv.Itoa(e.Code)
	}
	return e.Message
}

// CodeOf is the status with which the API refused; 0: it is no refusal.
func CodeOf(err error) int {
	refused, ok := errors.AsType[*StatusError](err)
	if !ok {
		return 0
	}
	return refused.Code
}

// Open sends a request and gives the answer's body, which the caller closes. query may be nil.
func (c *Client) Open(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) (io.ReadCloser, error) {
	target := c.access.Server + path
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
	if err := c.access.authorize(req); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
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
	refused := &StatusError{}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_ = json.Unmarshal(text, refused)
	refused.Code = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		refused.After = time.Duration(seconds) * time.Second
	}
	return nil, refused
}

// authorize says as whom the request comes.
func (a *Access) authorize(req *http.Request) error {
	token := a.Token
	if a.TokenFile != "" {
		text, err := readFile(a.TokenFile)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	switch {
	case token != "":
		req.Header.Set("Authorization", "Bearer "+token)
	case a.User != "":
		req.SetBasicAuth(a.User, a.Key)
	}
	return nil
}

// Call sends a request and reads the answer into out; in and out may be nil. A patch is a merge patch.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, RequestWithin)
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
	answer, err := c.Open(ctx, method, path, query, contentType, body)
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

// Temporary reports whether another call may succeed: the API is overloaded, does not answer, or can't be reached. A conflict is not
// temporary: who calls has to read again.
func Temporary(err error) bool {
	if err == nil {
		return false
	}
	code := CodeOf(err)
	return code == 0 || code == http.StatusTooManyRequests || code >= 500
}

// The pauses of [Client.Insist]. The API may ask for a longer one.
const (
	pauseFirst = 200 * time.Millisecond
	pauseMost  = 10 * time.Second
)

// Insist is Call, again and again while the error is temporary and ctx lasts. A call whose answer was lost may have been carried out, so that
// making a thing may then say that it exists.
func (c *Client) Insist(ctx context.Context, method, path string, query url.Values, in, out any) error {
	for pause := pauseFirst; ; pause = min(2*pause, pauseMost) {
		err := c.Call(ctx, method, path, query, in, out)
		if !Temporary(err) {
			return err
		}
		wait := pause
		if refused, ok := errors.AsType[*StatusError](err); ok {
			wait = max(wait, refused.After)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (the last answer: %w)", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// Event is one line of a watch.
type Event struct {
	Type   string          `json:"type"` // ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
	Object json.RawMessage `json:"object"`
}

// Watch tells of changes to what the query selects, from a version on, until tell says that it has seen enough (true), the server ends the watch
// (nil), or an error.
func (c *Client) Watch(ctx context.Context, path string, query url.Values, version string, tell func(Event) bool) error {
	q := url.Values{}
	for key, values := range query {
		q[key] = values
	}
	q.Set("watch", "true")
	q.Set("resourceVersion", version)
	q.Set("timeoutSeconds", "300")
	body, err := c.Open(ctx, http.MethodGet, path, q, "", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var e Event
		if err := lines.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if e.Type == "ERROR" {
			refused := &StatusError{}
			_ = json.Unmarshal(e.Object, refused)
			return refused
		}
		if tell(e) {
			return nil
		}
	}
}
