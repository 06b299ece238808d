package websocket

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

const (
	maxExchanges      = 1000
	maxSubprotocols   = 20
	maxSkipped        = 1_000_000
	defaultSkipped    = 1000
	defaultPing       = 20 * time.Second // as the library of the protocol's other servers has it
	mostSeconds       = 1 << 31          // of an interval
	maxSubprotocolLen = 1000
)

type input struct {
	URL string `json:"url"`
	exchangeInput
	Exchanges    []exchangeInput            `json:"exchanges"`
	Headers      map[string]json.RawMessage `json:"headers"`
	Auth         *headers.Auth              `json:"auth"`
	Subprotocols []string                   `json:"subprotocols"`
	PingInterval *float64                   `json:"ping_interval"`
	MaxSkipped   *int                       `json:"max_skipped"`
	TLS          json.RawMessage            `json:"tls"`
}

// exchangeInput is one exchange, or the only one.
type exchangeInput struct {
	Message      json.RawMessage `json:"message"`
	Encoding     string          `json:"encoding"`
	WaitResponse *bool           `json:"wait_response"`
	Expect       *rule           `json:"expect"`
	FailOn       *rule           `json:"fail_on"`
	Timeout      json.Number     `json:"timeout"`
}

// plan is what an attempt does.
type plan struct {
	in        *input
	url       *url.URL
	shown     string // the URL as errors have it
	result    string // and as results have it
	tls       *tlsinput.Options
	headers   *headers.Set
	exchanges []exchange
	ping      time.Duration // 0: none
	skip      int
	several   bool // exchanges are given
}

// exchange is one message and its reply.
type exchange struct {
	text    []byte // nil: nothing is sent
	binary  bool
	wait    bool
	expect  *rule
	failOn  *rule
	timeout time.Duration // 0: that of all
	limit   string        // timeout, as the task wrote it
}

// plan reads the inputs. Its error names all faults.
func (e *Executor) plan(call *executors.Call) (*plan, error) {
	p := &plan{in: &input{}}
	in := p.in
	if err := inputs.Decode(ID, call, in); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.URL) == "" {
		return nil, executors.Invalid(ID, "url is required in inputs")
	}
	if len(in.Exchanges) == 0 && absent(in.Message) {
		return nil, executors.Invalid(ID, "message is required in inputs")
	}
	if !p.setURL() {
		text := "Invalid WebSocket URL: " + p.shown // the text of spec 8.6
		if p.url == nil && !strings.Contains(p.in.URL, "://") || p.url != nil && p.url.Scheme != "ws" && p.url.Scheme != "wss" {
			text += " (it must begin with ws:// or wss://)"
		}
		return nil, executors.Permanent(errors.New(text))
	}
	var faults []string
	p.headers, faults = headers.New(call, "headers", in.Headers, in.Auth)
	for name := range p.headers.Header {
		if strings.HasPrefix(name, "Sec-Websocket-") || slices.Contains([]string{"Connection", "Upgrade", "Host", "Content-Length", "Transfer-Encoding"}, name) {
			faults = append(faults, fmt.Sprintf("headers: %s is the protocol's own", name))
		}
	}
	p.headers.Default("User-Agent", "taskgrove")
	p.hide()
	faults = append(faults, p.setExchanges(e.cfg.MaxMessageBytes)...)
	faults = append(faults, p.setOthers()...)
	if len(faults) > 0 {
		slices.Sort(faults)
		return nil, executors.Invalid(ID, strings.Join(faults, "; "))
	}
	return p, nil
}

// setURL reads the URL, and reports whether it can be used.
func (p *plan) setURL() bool {
	u, err := url.Parse(strings.TrimSpace(p.in.URL))
	if err != nil {
		p.shown = "it can't be read" // and may hold anything
		return false
	}
	p.url = u
	masked := *u
	masked.User = nil
	p.result = masked.String()
	query := strings.Split(u.RawQuery, "&")
	for i, pair := range query {
		if name, _, has := strings.Cut(pair, "="); has { // which of them is a secret, only the server knows
			query[i] = name + "=***"
		}
	}
	masked.RawQuery, masked.Fragment = strings.Join(query, "&"), ""
	p.shown = masked.String()
	return (u.Scheme == "ws" || u.Scheme == "wss") && u.Hostname() != "" && u.Fragment == ""
}

// hide keeps what may be credentials in the URL out of errors.
func (p *plan) hide() {
	if password, ok := p.url.User.Password(); ok {
		p.headers.Hide(password)
	}
	for _, values := range p.url.Query() {
		for _, value := range values {
			if len(value) >= 8 { // a shorter one is likelier a plain word
				p.headers.Hide(value)
				p.headers.Hide(url.QueryEscape(value))
			}
		}
	}
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// setExchanges reads what is sent and awaited.
func (p *plan) setExchanges(most int) (faults []string) {
	all, where := p.in.Exchanges, "exchanges[%d]."
	if p.several = len(all) > 0; !p.several {
		one := p.in.exchangeInput
		one.Timeout = "" // it is that of all
		all, where = []exchangeInput{one}, ""
	} else if !absent(p.in.Message) {
		faults = append(faults, "message and exchanges can't both be given")
	}
	if len(all) > maxExchanges {
		return append(faults, fmt.Sprintf("exchanges must not be more than %d", maxExchanges))
	}
	for i := range all {
		at := where
		if at != "" {
			at = fmt.Sprintf(where, i)
		}
		x, err := all[i].read(p.in)
		if err != nil {
			faults = append(faults, at+err.Error())
		}
		if len(x.text) > most {
			faults = append(faults, fmt.Sprintf("%smessage: %d bytes are more than a message may have, %d", at, len(x.text), most))
		}
		p.exchanges = append(p.exchanges, x)
	}
	return faults
}

// read reads one exchange; what it leaves out is as in the inputs around it, for the rule of failures.
func (x *exchangeInput) read(outer *input) (exchange, error) {
	out := exchange{wait: x.WaitResponse == nil || *x.WaitResponse, expect: x.Expect, failOn: x.FailOn}
	if out.failOn == nil {
		out.failOn = outer.FailOn
	}
	var err error
	if out.text, out.binary, err = frame(x.Message, x.Encoding); err != nil {
		return out, err
	}
	if out.text == nil && !out.wait {
		return out, errors.New("message is needed where no response is awaited")
	}
	for _, r := range []struct {
		name string
		rule *rule
	}{{"expect", out.expect}, {"fail_on", out.failOn}} {
		if err := r.rule.check(); err != nil {
			return out, fmt.Errorf("%s%w", r.name, err)
		}
	}
	if x.Timeout != "" {
		seconds, err := strconv.ParseFloat(string(x.Timeout), 64)
		if err != nil || !(seconds > 0) {
			return out, errors.New("timeout must be a number of seconds above 0")
		}
		out.timeout, out.limit = time.Duration(min(seconds, mostSeconds)*float64(time.Second)), string(x.Timeout)
	}
	return out, nil
}

// frame is what goes over the wire for a message; nil: nothing.
func frame(message json.RawMessage, encoding string) (text []byte, binary bool, err error) {
	if absent(message) {
		return nil, false, nil
	}
	var word string
	isText := json.Unmarshal(message, &word) == nil
	switch encoding {
	case "", "text":
		if isText {
			return []byte(word), false, nil
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, message); err != nil {
			return nil, false, errors.New("message is not JSON")
		}
		return compact.Bytes(), false, nil
	case executors.Base64:
		raw, err := base64.StdEncoding.DecodeString(word)
		if !isText || err != nil {
			return nil, false, errors.New("message must be base64")
		}
		return raw, true, nil
	}
	return nil, false, errors.New("encoding must be text or base64")
}

// setOthers reads the rest.
func (p *plan) setOthers() (faults []string) {
	var err error
	var said bool
	switch p.tls, said, err = tlsinput.Parse(p.in.TLS); {
	case err != nil:
		faults = append(faults, "tls "+err.Error())
	case p.tls != nil && p.url.Scheme == "ws":
		faults = append(faults, "tls must not be set with ws://, which is plain text: wss:// is not")
	case said && p.tls == nil && p.url.Scheme == "wss":
		faults = append(faults, "tls must not be false with wss://")
	case p.tls == nil:
		p.tls = &tlsinput.Options{}
	}
	if len(p.in.Subprotocols) > maxSubprotocols || slices.ContainsFunc(p.in.Subprotocols, func(name string) bool {
		return len(name) > maxSubprotocolLen || !httpguts.ValidHeaderFieldName(name)
	}) {
		faults = append(faults, "subprotocols must be up to 20 names that can be sent")
	}
	p.ping = defaultPing
	if seconds := p.in.PingInterval; seconds != nil {
		if p.ping = time.Duration(min(*seconds, mostSeconds) * float64(time.Second)); *seconds < 0 || *seconds > 0 && p.ping < time.Millisecond {
			faults = append(faults, "ping_interval must be 0 or a number of seconds")
		}
	}
	p.skip = defaultSkipped
	if n := p.in.MaxSkipped; n != nil {
		if p.skip = *n; p.skip < 0 || p.skip > maxSkipped {
			faults = append(faults, fmt.Sprintf("max_skipped must be from 0 to %d", maxSkipped))
		}
	}
	return faults
}

// origin is the URL as net/http knows it.
func (p *plan) origin() *url.URL {
	u := *p.url
	u.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	return &u
}
