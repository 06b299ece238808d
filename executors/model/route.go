package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// route is how a model is reached.
type route struct {
	asked    string // as the request names it
	name     string // as the service knows it
	provider string
	known    provider
	api      string
	base     *url.URL
	trusted  bool // the operator chose the address
	key      string
	wire     wire
}

// names are those by which a price may know the model.
func (r *route) names() []string {
	return slices.Compact([]string{r.asked, r.provider + "/" + r.name, r.name})
}

// faults are what can't be right whatever is asked.
func (o *Options) faults() (faults []string) {
	switch o.API {
	case "", apiOpenAI, apiAnthropic:
	default:
		faults = append(faults, "api must be openai or anthropic")
	}
	if o.Key != "" && !sendable(o.Key) {
		faults = append(faults, "api_key has characters that can't be sent")
	}
	if o.BaseURL != "" {
		if _, err := parseBase(o.BaseURL); err != nil {
			faults = append(faults, "api_base "+err.Error())
		}
	}
	return faults
}

func sendable(key string) bool {
	return httpguts.ValidHeaderFieldValue(key) && !strings.ContainsAny(key, " \t")
}

// parseBase reads an address. Its errors do not repeat it, as it may hold a password.
func parseBase(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil:
		return nil, errors.New("can't be read")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("must be http://host or https://host, with a path if need be")
	case u.User != nil:
		return nil, errors.New("has a user, but a key goes in api_key")
	case u.Fragment != "":
		return nil, errors.New("has a fragment")
	}
	return u, nil
}

// invalid is the permanent error of faults.
func (s *Session) invalid(faults []string) error {
	return executors.Invalid(s.opts.ID, strings.Join(faults, "; "))
}

// route finds out how a model is reached. Its error says what is wrong, for the task's author.
func (s *Session) route(ctx context.Context, model string) (*route, error) {
	r := &route{asked: model, name: model}
	own, err := s.place(r)
	if err != nil {
		return nil, err
	}
	if r.api == apiAnthropic {
		r.wire = anthropic{}
	} else {
		r.wire = openAI{}
	}
	if err := s.findKey(ctx, r, own); err != nil {
		return nil, err
	}
	if r.key != "" && !sendable(r.key) {
		return nil, fmt.Errorf("model %s: the key of %s has characters that can't be sent", shown(model), r.provider)
	}
	s.hide(r.key)
	return r, nil
}

// place finds provider, name, format and address. own is the operator's entry for the service; nil: there is none.
func (s *Session) place(r *route) (own *workerfile.Model, err error) {
	file := s.models.file.File()
	prefix, rest, has := strings.Cut(r.asked, "/")
	has = has && rest != ""
	if entry, ok := file.Models[strings.ToLower(prefix)]; has && ok {
		r.provider, r.name, own = strings.ToLower(prefix), rest, &entry
	} else if name, ok := named(prefix); has && ok {
		r.provider, r.name = name, rest
	} else {
		r.provider = guessed(r.asked)
	}
	strange := has && r.name == r.asked && r.provider == "openai"
	if entry, ok := file.Models[r.provider]; ok && own == nil {
		own = &entry
	}
	if own != nil && own.Pools != nil && !slices.Contains(own.Pools, s.call.Pool) {
		return nil, fmt.Errorf("model %s: there is no model service %q for tasks of pool %q", shown(r.asked), r.provider, s.call.Pool)
	}
	r.known = providers[r.provider]
	r.api = cmp.Or(r.known.api, apiOpenAI)
	address := r.known.url
	switch {
	case s.opts.BaseURL != "":
		address, r.trusted, own = s.opts.BaseURL, s.call.Connection != "", nil
		r.api = cmp.Or(s.opts.API, r.api)
	case own != nil && own.URL != "":
		address, r.trusted = own.URL, true
		r.api = cmp.Or(own.API, r.api)
	default:
		if text := s.operatorsAddress(r.provider); text != "" {
			address, r.trusted = text, true
		} else if strange { // OpenAI itself has no such names, and a misspelt service must not send a conversation there
			return nil, fmt.Errorf("model %s: there is no service %q: neither a known one, nor one in the section models of the worker's file", shown(r.asked), shown(prefix))
		}
	}
	if address == "" {
		why := r.known.whyNot
		if own != nil {
			why = "its entry has no url"
		}
		return nil, fmt.Errorf("model %s: %s has no address that is known to all (%s): name it in api_base, or in the section models of the worker's file", shown(r.asked), r.provider, why)
	}
	if r.base, err = parseBase(address); err != nil {
		return nil, fmt.Errorf("model %s: the address of %s %w", shown(r.asked), r.provider, err)
	}
	return own, nil
}

// operatorsAddress is where the worker's environment says that a known provider is.
func (s *Session) operatorsAddress(provider string) string {
	upper := strings.ToUpper(provider)
	for _, name := range []string{upper + "_BASE_URL", upper + "_API_BASE"} {
		if value, ok := s.models.cfg.LookupEnv(name); ok && value != "" {
			return value
		}
	}
	return ""
}

// keyError says why the key that whoever started the task sent along is not there.
type keyError struct{ error }

// Unwrap gives what says whether a later attempt may have it.
func (e *keyError) Unwrap() error { return e.error }

// findKey finds the key, in the order of spec 5.7. A key that is not the task's goes to no address of a task's.
func (s *Session) findKey(ctx context.Context, r *route, own *workerfile.Model) error {
	r.key = s.opts.Key
	switch whose := cmp.Or(s.opts.API, apiOpenAI); {
	case r.key != "" && s.call.Connection != "" && s.opts.BaseURL == "" && r.provider != whose: // the model's name would choose who gets it
		r.key = ""
		return fmt.Errorf("model %s: the connection has no api_base, so its key is for %s alone, and not for %s", shown(r.asked), whose, r.provider)
	case r.key != "":
		return nil
	case s.opts.BaseURL != "" && (s.call.Connection != "" || r.known.keyless):
		return nil
	case s.opts.BaseURL != "":
		return errors.New("api_key is required with api_base: keys of the worker, and of whoever started the task, go only to the provider's own address, or to one that the operator named (a connection, or the section models of the worker's file)")
	}
	names := variables(r.provider)
	if r.known.keyless && own == nil { // a key that is meant for others is of no use there
		names = names[:len(names)-1]
	} else if s.call.ModelKey != nil {
		key, err := s.call.ModelKey(ctx, r.provider)
		if err != nil {
			return &keyError{fmt.Errorf("model %s: key of %s: %w", shown(r.asked), r.provider, err)}
		}
		if r.key = key; key != "" {
			return nil
		}
	}
	if own != nil && own.Key != nil {
		if s.models.cfg.Secret == nil {
			return fmt.Errorf("model %s: the key of %s can't be read at this worker", shown(r.asked), r.provider)
		}
		key, err := s.models.cfg.Secret(own.Key.Secret)
		if err != nil {
			return fmt.Errorf("model %s: the key of %s can't be read at this worker now", shown(r.asked), r.provider)
		}
		r.key = key
		return nil
	}
	for _, name := range names {
		if value, ok := s.models.cfg.LookupEnv(name); ok && value != "" {
			r.key = value
			return nil
		}
	}
	if r.known.keyless || own != nil && own.URL != "" {
		return nil
	}
	return fmt.Errorf("model %s: no key of %s: set api_key in inputs, send one along with the tree, or let the operator set %s where the worker starts", shown(r.asked), r.provider, names[0])
}

// shown is a name from inputs in a text.
func shown(name string) string {
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "…"
	}
	return name
}

// transport is the way to the model's address.
func (s *Session) transport(r *route) http.RoundTripper {
	pool := s.models.network.Pool(s.call.Pool)
	if r.trusted {
		pool = pool.Trusted()
	}
	return pool.RoundTripper(false)
}
