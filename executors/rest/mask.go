package rest

import (
	"net/url"
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

// text masks every secret word.
func (s *secrets) text(t string) string {
	for _, word := range s.words {
		t = strings.ReplaceAll(t, word, stars)
	}
	return t
}

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
	return s.text(text)
}
