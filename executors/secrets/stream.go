package secrets

import "strings"

// Stream takes secrets out of a text that comes in parts, also where a secret is spread over several of them. Not safe for concurrent use.
type Stream struct {
	redactor *Redactor
	held     string // what may become a secret, by the parts to come
}

// Stream begins a text.
func (r *Redactor) Stream() *Stream { return &Stream{redactor: r} }

// Write takes a part, and gives what can be shown by then.
func (s *Stream) Write(part string) string {
	if s.redactor == nil {
		return part
	}
	text := s.held + part
	for i := range s.redactor.forms {
		text = strings.ReplaceAll(text, s.redactor.forms[i].text, stars)
	}
	from := len(text) - s.redactor.pending(text)
	s.held = text[from:]
	return text[:from]
}

// Rest is what is left at the end of the text.
func (s *Stream) Rest() string {
	text := s.redactor.Text(s.held)
	s.held = ""
	return text
}

// pending is how many bytes at the end of a text are the beginning of a form.
func (r *Redactor) pending(text string) (longest int) {
	for i := range r.forms {
		form := r.forms[i].text
		for n := min(len(form)-1, len(text)); n > longest; n-- {
			if text[len(text)-n] == form[0] && strings.HasSuffix(text, form[:n]) {
				longest = n
				break
			}
		}
	}
	return longest
}
