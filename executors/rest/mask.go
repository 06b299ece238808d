package rest

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const stars = "***"

// secrets are one attempt's words that must not show in a URL or an error.
type secrets struct {
	words []string // plain, and escaped as in a query or a path
	param string   // the query parameter that holds an API key; empty: none
}

// add adds a secret. One of fewer than four characters is not masked in texts, which would become unreadable; URLs mask it
// anyway by its place.
func (s *secrets) add(word string) {
	if len(word) < 4 {
		return
	}
	for _, form := range []string{word, url.QueryEscape(word), url.PathEscape(word)} {
		if !slices.Contains(s.words, form) {
			s.words = append(s.words, form)
		}
	}
}

// text masks every secret word of an error, and the values of the queries of URLs in it.
func (s *secrets) text(t string) string {
	return values(s.mask(t))
}

// mask masks every secret word.
func (s *secrets) mask(t string) string {
	for _, word := range s.words {
		t = strings.ReplaceAll(t, word, stars)
	}
	return t
}

// queries finds the query of each URL in a text.
var queries = regexp.MustCompile(`\?[^\s"'<>]+`)

// values masks each value of the queries in a text: which of them is a secret, only the service knows.
func values(text string) string {
	return queries.ReplaceAllStringFunc(text, func(query string) string {
		pairs := strings.Split(query, "&")
		for i, pair := range pairs {
			if name, _, has := strings.Cut(pair, "="); has {
				pairs[i] = name + "=" + stars
			}
		}
		return strings.Join(pairs, "&")
	})
}

// origin is u as an error may show it: as [secrets.url], and without any value of the query.
func (s *secrets) origin(u *url.URL) string { return values(s.url(u)) }

// url is u without user, password and API key, and without a fragment, which is never sent.
func (s *secrets) url(u *url.URL) string {
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	if s.param != "" {
		pairs := strings.Split(shown.RawQuery, "&")
		for i, pair := range pairs {
			name, _, _ := strings.Cut(pair, "=")
			if plain, err := url.QueryUnescape(name); err == nil && plain == s.param {
				pairs[i] = name + "=" + stars
			}
		}
		shown.RawQuery = strings.Join(pairs, "&")
	}
	text := shown.String()
	if u.User != nil {
		text = strings.Replace(text, "://", "://"+stars+"@", 1)
	}
	return s.mask(text)
}
