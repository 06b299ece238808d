package protocol

import "sync"

// mostRedactions is how many attempts with secrets are remembered.
const mostRedactions = 64

// redactions take the secrets that a program was given out of what it says without saying of which attempt. Safe for concurrent use.
type redactions struct {
	mu  sync.Mutex
	all []func(string) string // of the last attempts with secrets
}

// add remembers an attempt's; nil: it has none.
func (r *redactions) add(redact func(string) string) {
	if redact == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == mostRedactions {
		r.all = append(r.all[:0], r.all[1:]...)
	}
	r.all = append(r.all, redact)
}

// text is a text without these secrets.
func (r *redactions) text(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, redact := range r.all {
		text = redact(text)
	}
	return text
}
