package rest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/taskgrove/taskgrove/executors"
)

type input struct {
	URL             string                     `json:"url"`
	Method          string                     `json:"method"`
	Headers         map[string]json.RawMessage `json:"headers"`
	Params          map[string]json.RawMessage `json:"params"`
	JSON            json.RawMessage            `json:"json"`
	Data            map[string]json.RawMessage `json:"data"`
	Timeout         json.Number                `json:"timeout"`
	Auth            *auth                      `json:"auth"`
	BaseURL         string                     `json:"base_url"`
	AuthHeaders     map[string]json.RawMessage `json:"auth_headers"`
	Verify          *bool                      `json:"verify"`
	FollowRedirects *bool                      `json:"follow_redirects"`
	FailOnError     bool                       `json:"fail_on_error"`
	Retries         int                        `json:"retries"`
}

type auth struct {
	Type     string `json:"type"`
	Token    string `json:"token"`
	Username string `json:"username"`
	Password string `json:"password"`
	Key      string `json:"key"`
	Value    string `json:"value"`
	Location string `json:"location"`
}

// request is one request, ready to be sent once or more often.
type request struct {
	method  string
	url     *url.URL
	header  http.Header
	host    string // Host header; empty: the URL's
	body    []byte // nil: none, or
	file    *executors.FileRef
	private map[string]bool // headers that stay at their origin whatever they are called, by canonical name
	secrets secrets
}

// build turns inputs into a request. Its errors name the field, and show no value.
func (in *input) build(call *executors.Call) (*request, error) {
	r := &request{method: strings.ToUpper(in.Method), header: http.Header{}, private: map[string]bool{}}
	if r.method == "" {
		r.method = http.MethodGet
	}
	if !httpguts.ValidHeaderFieldName(r.method) || r.method == http.MethodConnect {
		return nil, errors.New("method can't be sent")
	}
	if r.method == http.MethodTrace && call.Connection != "" {
		return nil, errors.New("method TRACE is not sent with a connection: the answer would repeat its credentials")
	}
	if err := r.setURL(in, call.Connection); err != nil {
		return nil, err
	}
	if err := r.setHeaders("headers", in.Headers); err != nil {
		return nil, err
	}
	if r.host != "" && call.Connection != "" {
		return nil, errors.New("headers: Host can't be set with a connection, which says where to go")
	}
	if err := r.setHeaders("auth_headers", in.AuthHeaders); err != nil {
		return nil, err
	}
	if err := r.setBody(in, call); err != nil {
		return nil, err
	}
	if in.Auth != nil {
		r.setAuth(in.Auth)
	}
	for name, values := range r.header {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, fmt.Errorf("headers: the value of %s can't be sent", name)
			}
		}
	}
	for _, h := range call.Headers() {
		setDefault(r.header, h.Name, h.Value)
	}
	setDefault(r.header, "Accept", "*/*")
	setDefault(r.header, "User-Agent", "taskgrove")
	hideReplayKeys(r.header)
	return r, nil
}

func (r *request) setURL(in *input, connection string) error {
	u, err := in.target(connection)
	if err != nil {
		return err
	}
	if password, ok := u.User.Password(); ok {
		r.secrets.add(password)
	} else {
		r.secrets.add(u.User.Username()) // some services expect a token here
	}
	query, err := form("params", in.Params)
	if err != nil {
		return err
	}
	if len(query) > 0 {
		u.RawQuery = joined(u.RawQuery, query.Encode())
	}
	r.url = u
	return nil
}

// joined are two queries as one.
func joined(a, b string) string { return strings.Trim(a+"&"+b, "&") }

func (r *request) setHeaders(field string, headers map[string]json.RawMessage) error {
	for name, raw := range headers {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%s: %q is not a header's name", field, name)
		}
		values, err := texts(raw)
		if err != nil || len(values) != 1 {
			return fmt.Errorf("%s: the value of %s must be a string", field, name)
		}
		if field == "auth_headers" {
			r.private[http.CanonicalHeaderKey(name)] = true
			r.secrets.add(values[0])
			_, credential, _ := strings.Cut(values[0], " ") // of "Bearer credential"
			r.secrets.add(credential)
		}
		if strings.EqualFold(name, "Host") {
			r.host = values[0]
			continue
		}
		r.header.Set(name, values[0])
	}
	return nil
}

// setBody prefers json over data (spec 8.3).
func (r *request) setBody(in *input, call *executors.Call) error {
	if len(in.JSON) > 0 && !bytes.Equal(in.JSON, []byte("null")) {
		if r.file = fileOf(call, in.JSON); r.file == nil {
			r.body = in.JSON
		}
		setDefault(r.header, "Content-Type", "application/json")
		return nil
	}
	if len(in.Data) == 0 {
		return nil
	}
	if raw, err := json.Marshal(in.Data); err == nil {
		if r.file = fileOf(call, raw); r.file != nil {
			setDefault(r.header, "Content-Type", cmp.Or(r.file.MediaType, "application/octet-stream"))
			return nil
		}
	}
	fields, err := form("data", in.Data)
	if err != nil {
		return err
	}
	r.body = []byte(fields.Encode())
	setDefault(r.header, "Content-Type", "application/x-www-form-urlencoded")
	return nil
}

// setAuth adds credentials. It ignores incomplete and unknown ones (spec 8.3).
func (r *request) setAuth(a *auth) {
	switch a.Type {
	case "bearer":
		if a.Token != "" {
			setDefault(r.header, "Authorization", "Bearer "+a.Token)
			r.secrets.add(a.Token)
		}
	case "basic":
		if a.Username != "" && a.Password != "" {
			basic := http.Request{Header: r.header}
			basic.SetBasicAuth(a.Username, a.Password)
			r.secrets.add(a.Password)
			r.secrets.add(strings.TrimPrefix(r.header.Get("Authorization"), "Basic "))
		}
	case "apikey":
		if a.Key == "" || a.Value == "" {
			return
		}
		switch a.Location {
		case "", "header":
			if httpguts.ValidHeaderFieldName(a.Key) {
				r.header.Set(a.Key, a.Value)
				r.private[http.CanonicalHeaderKey(a.Key)] = true
				r.secrets.add(a.Value)
			}
		case "query":
			pair := url.QueryEscape(a.Key) + "=" + url.QueryEscape(a.Value)
			r.url.RawQuery = joined(r.url.RawQuery, pair)
			r.secrets.param = a.Key
			r.secrets.add(a.Value)
		}
	}
}

// form reads the fields of a query or a form: scalars, or lists of them.
func form(field string, object map[string]json.RawMessage) (url.Values, error) {
	values := url.Values{}
	for name, raw := range object {
		list, err := texts(raw)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", field, name, err)
		}
		values[name] = list
	}
	return values, nil
}

// texts are the values of a scalar or a list of scalars, as they stand in a query: null is empty.
func texts(raw json.RawMessage) ([]string, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return []string{""}, nil
	}
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return []string{s}, err
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, err
		}
		var list []string
		for _, item := range items {
			one, err := texts(item)
			if err != nil || len(one) != 1 {
				return nil, errors.New("must be a scalar or a list of scalars")
			}
			list = append(list, one[0])
		}
		return list, nil
	case '{':
		return nil, errors.New("must be a scalar or a list of scalars")
	case 'n':
		return []string{""}, nil
	}
	return []string{string(raw)}, nil // a number, true or false, as written
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" && value != "" {
		h.Set(name, value)
	}
}
