package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/net/http/httpguts"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// property is an argument of the scraper, which the task's author may fix and the model may set else.
type property struct{ name, schema string }

var scrapeProperties = []property{
	{"website_url", `{"type": "string", "description": "Address of the page, http:// or https://"}`},
	{"max_chars", `{"type": "integer", "minimum": 1, "maximum": 50000, "default": 5000, "description": "Longest text, in characters"}`},
	{"focus_sections", `{"type": "array", "items": {"type": "string"}, "default": [], "description": "Keep only the sections whose headings contain one of these, with what is below them"}`},
	{"exclude_sections", `{"type": "array", "items": {"type": "string"}, "default": [], "description": "Leave out the sections whose headings contain one of these, with what is below them"}`},
	{"extract_metadata", `{"type": "boolean", "default": true, "description": "Begin with the page's title and description"}`},
	{"headers", `{"type": "object", "additionalProperties": {"type": "string"}, "description": "Headers of the request: Accept and Accept-Language"}`},
}

// schema is that of some properties.
func schema(all []property, required ...string) json.RawMessage {
	fields := make([]string, len(all))
	for i, p := range all {
		fields[i] = fmt.Sprintf("%q: %s", p.name, p.schema)
	}
	return json.RawMessage(`{"type": "object", "properties": {` + strings.Join(fields, ", ") + `}, "required": ` + string(object(append([]string{}, required...))) + `, "additionalProperties": false}`)
}

// scrapeKind is the scraper. Its arguments in a task's list are those of the tool, which are fixed then, and the hosts that it is kept to.
func scrapeKind(kindName, modelName string, f *fetcher) tools.Kind {
	making := append(scrapeProperties[:len(scrapeProperties):len(scrapeProperties)],
		property{"hosts", `{"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "Hosts to which the tool is kept, with those below them, redirects included"}`})
	return tools.Kind{
		Description: executors.Description{
			ID: kindName, Name: "Limited Website Scraper", Secrets: true, Inputs: schema(making),
			Description: "Reads the text of a web page, up to a number of characters",
		},
		New: func(call *executors.Call) (tools.Tool, error) {
			fixed := &scrapeInput{}
			if err := inputs.Decode(kindName, call, fixed); err != nil {
				return nil, err
			}
			s := &scraper{fetcher: f, fixed: call.Inputs, hosts: fixed.Hosts, headers: http.Header{}}
			if fixed.URL != "" {
				if _, err := parseURL(fixed.URL); err != nil {
					return nil, executors.Invalid(kindName, "website_url: "+err.Error())
				}
			}
			for name, value := range fixed.Headers {
				if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
					return nil, executors.Invalid(kindName, fmt.Sprintf("headers: %.100q can't be sent", name))
				}
				s.headers.Set(name, value)
			}
			s.spec = scrapeSpec(modelName, fixed)
			return s, nil
		},
	}
}

// scrapeSpec is what a model is told: what the author has fixed is not among its arguments.
func scrapeSpec(name string, fixed *scrapeInput) model.Tool {
	open, required := []property{}, []string{}
	for _, p := range scrapeProperties {
		if !fixed.has(p.name) {
			open = append(open, p)
		}
	}
	text := "Reads the text of a web page: title, description, and its text without navigation."
	if fixed.URL == "" {
		required = append(required, "website_url")
	} else {
		text = "Reads the text of " + fixed.URL
	}
	if len(fixed.Hosts) > 0 {
		text += " Only pages of " + strings.Join(fixed.Hosts, ", ") + "."
	}
	return model.Tool{Name: name, Description: text, Schema: schema(open, required...)}
}

// scrapeInput is the arguments, the author's and the model's.
type scrapeInput struct {
	URL      string            `json:"website_url"`
	MaxChars int               `json:"max_chars"`
	Focus    []string          `json:"focus_sections"`
	Exclude  []string          `json:"exclude_sections"`
	Metadata *bool             `json:"extract_metadata"`
	Headers  map[string]string `json:"headers"`
	Hosts    []string          `json:"hosts"`
}

// has reports whether the author has fixed an argument.
func (in *scrapeInput) has(name string) bool {
	switch name {
	case "website_url":
		return in.URL != ""
	case "max_chars":
		return in.MaxChars > 0
	case "focus_sections":
		return in.Focus != nil
	case "exclude_sections":
		return in.Exclude != nil
	case "extract_metadata":
		return in.Metadata != nil
	}
	return in.Headers != nil
}

// scraper is the tool.
type scraper struct {
	fetcher *fetcher
	spec    model.Tool
	fixed   json.RawMessage
	hosts   []string
	headers http.Header // of the author
}

// Spec implements [tools.Tool].
func (s *scraper) Spec() model.Tool { return s.spec }

// openHeaders are those that a model may set: they say nothing of who asks.
var openHeaders = []string{"Accept", "Accept-Language"}

// Run implements [tools.Tool]. What goes wrong is an answer (spec 8.14).
func (s *scraper) Run(ctx context.Context, call *executors.Call, args json.RawMessage) (tools.Answer, error) {
	in := &scrapeInput{}
	for _, part := range []json.RawMessage{args, s.fixed} { // the author's goes over the model's
		if err := json.Unmarshal(part, in); err != nil {
			return tools.Answer{}, errors.New("the arguments can't be read")
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, pageTime, fmt.Errorf("it takes longer than %v", pageTime))
	defer cancel()
	text, err := s.text(limited, call, in)
	if ctx.Err() != nil {
		return tools.Answer{}, context.Cause(ctx)
	}
	if err != nil {
		return tools.Answer{Text: fmt.Sprintf("Error fetching website %s: %v", shownURL(in.URL), err), Failed: true}, nil
	}
	return tools.Answer{Text: text}, nil
}

// text is the page as the model reads it.
func (s *scraper) text(ctx context.Context, call *executors.Call, in *scrapeInput) (string, error) {
	u, err := parseURL(in.URL)
	if err != nil {
		return "", err
	}
	headers := s.headers.Clone()
	if len(s.headers) == 0 {
		if headers, err = ofModel(in.Headers); err != nil {
			return "", err
		}
	}
	p, err := s.fetcher.page(ctx, call, request{u, headers, s.hosts})
	if err != nil {
		return "", err
	}
	doc, err := document(p)
	if err != nil {
		return "", err
	}
	return doc.show(in, p), nil
}

// ofModel are a model's headers.
func ofModel(headers map[string]string) (http.Header, error) {
	all := http.Header{}
	for name, value := range headers {
		known := ""
		for _, open := range openHeaders {
			if strings.EqualFold(open, name) {
				known = open
			}
		}
		if known == "" {
			return nil, fmt.Errorf("header %.100q: only the task's author may set it", name)
		}
		if len(value) > 200 || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("header %s can't be sent", known)
		}
		all.Set(known, value)
	}
	return all, nil
}

// document makes text of a page of any kind that is text.
func document(p *page) (*doc, error) {
	kind, _, err := mime.ParseMediaType(p.kind)
	if err != nil {
		kind, _, _ = strings.Cut(p.kind, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	isHTML := kind == "text/html" || kind == "application/xhtml+xml"
	if !isHTML && !strings.HasPrefix(kind, "text/") && kind != "application/json" && kind != "application/xml" &&
		!strings.HasSuffix(kind, "+json") && !strings.HasSuffix(kind, "+xml") {
		return nil, fmt.Errorf("it is of type %.100q, not text", kind)
	}
	encoding, _, _ := charset.DetermineEncoding(p.body[:min(len(p.body), 1024)], p.kind)
	if !isHTML && !strings.Contains(p.kind, "charset") && utf8.Valid(p.body) { // HTML's default is another
		encoding = nil
	}
	body := p.body
	if encoding != nil {
		if body, err = encoding.NewDecoder().Bytes(p.body); err != nil {
			body = p.body
		}
	}
	if !isHTML {
		return plain(string(body)), nil
	}
	return parse(body), nil
}
