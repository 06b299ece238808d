package web

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	maxToken    = 1 << 20 // bytes of one tag or text
	maxMeta     = 1000    // bytes of title and description
	maxHeadings = 40      // that are named when none fits
	defaultMax  = 5000    // characters (spec 8.14)
	mostChars   = 50_000
)

// doc is a page's text, in the sections that its headings make.
type doc struct {
	title, description string
	sections           []section
}

// section is a heading and what follows it, up to the next heading of any level.
type section struct {
	level   int // of the heading, 1 to 6; 0: before the first
	heading string
	text    strings.Builder
}

// left out with all that is in them (spec 8.14), and what is no text.
var leftOut = []atom.Atom{
	atom.Script, atom.Style, atom.Nav, atom.Footer, atom.Header, atom.Noscript, atom.Template, atom.Svg, atom.Iframe, atom.Object, atom.Canvas,
	atom.Select, atom.Textarea, atom.Noembed, atom.Noframes,
}

// elements that stand on lines of their own.
var blocks = []atom.Atom{
	atom.P, atom.Div, atom.Br, atom.Li, atom.Ul, atom.Ol, atom.Dl, atom.Dt, atom.Dd, atom.Table, atom.Tr, atom.Section, atom.Article, atom.Main, atom.Aside,
	atom.Blockquote, atom.Pre, atom.Hr, atom.Figure, atom.Figcaption, atom.Form, atom.Fieldset, atom.Address, atom.Details, atom.Summary, atom.Body, atom.Title,
}

// parse makes text of HTML. It reads tag by tag and builds no tree, so that no nesting costs more than its bytes.
func parse(body []byte) *doc {
	r := &reader{tokens: html.NewTokenizer(bytes.NewReader(body)), doc: &doc{sections: make([]section, 1)}}
	r.tokens.SetMaxBuf(maxToken)
	for {
		switch r.tokens.Next() {
		case html.ErrorToken:
			r.heading(0)
			return r.doc
		case html.TextToken:
			r.text(r.tokens.Text())
		case html.StartTagToken:
			r.start(false)
		case html.SelfClosingTagToken:
			r.start(true)
		case html.EndTagToken:
			name, _ := r.tokens.TagName()
			r.end(atom.Lookup(name))
		}
	}
}

// reader goes through a page.
type reader struct {
	tokens  *html.Tokenizer
	doc     *doc
	skipped atom.Atom // the element that is left out now; 0: none
	depth   int       // of elements of its name
	inTitle bool
	level   int             // of the heading that is read now; 0: none
	head    strings.Builder // its text
}

func (r *reader) start(closed bool) {
	name, has := r.tokens.TagName()
	tag := atom.Lookup(name)
	switch {
	case r.skipped != 0:
		if tag == r.skipped && !closed {
			r.depth++
		}
	case slices.Contains(leftOut, tag):
		if !closed || tag != atom.Svg { // only foreign elements close themselves
			r.skipped, r.depth = tag, 1
		}
	case tag == atom.Title:
		r.inTitle = r.doc.title == ""
	case tag == atom.Meta && has:
		r.meta()
	case levelOf(tag) > 0:
		r.heading(levelOf(tag))
	case slices.Contains(blocks, tag):
		r.line()
	case tag == atom.Td || tag == atom.Th:
		r.add(" ")
	}
}

func (r *reader) end(tag atom.Atom) {
	switch {
	case r.skipped != 0:
		if tag == r.skipped {
			if r.depth--; r.depth == 0 {
				r.skipped = 0
			}
		}
	case tag == atom.Title:
		r.inTitle = false
	case levelOf(tag) > 0:
		r.heading(0)
	case slices.Contains(blocks, tag):
		r.line()
	}
}

var headings = []atom.Atom{atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6}

// levelOf is a heading's level; 0: it is none.
func levelOf(tag atom.Atom) int { return slices.Index(headings, tag) + 1 }

// meta takes the page's description.
func (r *reader) meta() {
	var name, content string
	for more := true; more; {
		var key, value []byte
		key, value, more = r.tokens.TagAttr()
		switch string(key) {
		case "name", "property":
			name = strings.ToLower(string(value))
		case "content":
			content = string(value)
		}
	}
	if name == "description" || name == "og:description" && r.doc.description == "" {
		r.doc.description = short(content)
	}
}

// short is a text of the page's head: on one line, and no longer than a head should be.
func short(text string) string {
	text = strings.Join(strings.Fields(visible(text)), " ")
	if len(text) > maxMeta {
		text = strings.ToValidUTF8(text[:maxMeta], "") + "…"
	}
	return text
}

// heading ends the heading that is read, and begins one of a level, if that is not 0.
func (r *reader) heading(level int) {
	if r.level > 0 {
		if text := short(r.head.String()); text != "" {
			r.doc.sections = append(r.doc.sections, section{level: r.level, heading: text})
		}
		r.head.Reset()
	}
	r.level = level
}

func (r *reader) text(raw []byte) {
	switch {
	case r.skipped != 0:
	case r.inTitle:
		r.doc.title = short(r.doc.title + string(raw))
	default:
		r.add(string(raw))
	}
}

// add adds to the section, or to its heading.
func (r *reader) add(text string) {
	if r.level > 0 {
		r.head.WriteString(text)
		return
	}
	r.doc.sections[len(r.doc.sections)-1].write(text)
}

// line begins a line.
func (r *reader) line() {
	if r.level > 0 {
		r.head.WriteByte(' ')
		return
	}
	r.doc.sections[len(r.doc.sections)-1].text.WriteByte('\n')
}

// write adds text with all white space as single spaces: lines are the page's elements.
func (s *section) write(text string) {
	space := false
	for _, c := range text {
		if unicode.IsSpace(c) {
			space = true
			continue
		}
		if space {
			s.text.WriteByte(' ')
			space = false
		}
		s.text.WriteRune(c)
	}
	if space {
		s.text.WriteByte(' ')
	}
}

// plain is a page that is text as it is.
func plain(text string) *doc {
	d := &doc{sections: make([]section, 1)}
	d.sections[0].text.WriteString(text)
	return d
}

// visible is a text without what people can't see and models can: characters that only format, and tags of languages.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' || unicode.Is(unicode.Cc, r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}

// lines are a section's text: each line without white space around it, and without empty lines.
func (s *section) lines(to *strings.Builder) {
	if s.heading != "" {
		to.WriteString("\n" + strings.Repeat("#", s.level) + " " + s.heading + "\n")
	}
	for line := range strings.SplitSeq(visible(s.text.String()), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			to.WriteString(line + "\n")
		}
	}
}

// show is the answer (spec 8.14).
func (d *doc) show(in *scrapeInput, p *page) string {
	var b, body strings.Builder
	if in.Metadata == nil || *in.Metadata {
		if d.title != "" {
			fmt.Fprintf(&b, "Title: %s\n", d.title)
		}
		if d.description != "" {
			fmt.Fprintf(&b, "Description: %s\n", d.description)
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
	}
	kept := d.chosen(in.Focus, in.Exclude)
	for i := range kept {
		kept[i].lines(&body)
	}
	if len(kept) == 0 {
		body.WriteString(d.noSection())
	}
	most := in.MaxChars
	if most <= 0 {
		most = defaultMax
	}
	most = min(most, mostChars)
	text, cut := firstChars(strings.TrimSpace(body.String()), most)
	b.WriteString(text)
	if cut {
		fmt.Fprintf(&b, "\n[Content truncated to %d characters]", most)
	} else if p.truncated {
		fmt.Fprintf(&b, "\n[The page is larger than %d bytes, and the rest was not read]", len(p.body))
	}
	return b.String()
}

// firstChars is the beginning of a text.
func firstChars(text string, most int) (string, bool) {
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text, false
	}
	count := 0
	for at := range text {
		if count == most {
			return text[:at], true
		}
		count++
	}
	return text, false
}

// chosen are the sections that are wanted. A section goes with the ones below it.
func (d *doc) chosen(focus, exclude []string) (kept []*section) {
	keep, drop := 0, 0 // the level of the heading that decides now; 0: none
	for i := range d.sections {
		s := &d.sections[i]
		if s.level > 0 && s.level <= keep {
			keep = 0
		}
		if s.level > 0 && s.level <= drop {
			drop = 0
		}
		if keep == 0 && fits(s.heading, focus) {
			keep = s.level
		}
		if drop == 0 && fits(s.heading, exclude) {
			drop = s.level
		}
		if drop == 0 && (keep > 0 || !some(focus)) {
			kept = append(kept, s)
		}
	}
	return kept
}

// some reports whether a list says anything.
func some(list []string) bool {
	return slices.ContainsFunc(list, func(part string) bool { return strings.TrimSpace(part) != "" })
}

// fits reports whether a heading contains one of the parts, in whatever case.
func fits(heading string, parts []string) bool {
	heading = strings.ToLower(heading)
	return heading != "" && slices.ContainsFunc(parts, func(part string) bool {
		part = strings.ToLower(strings.TrimSpace(part))
		return part != "" && strings.Contains(heading, part)
	})
}

// noSection says which sections there are.
func (d *doc) noSection() string {
	var names []string
	for i := range d.sections {
		if heading := d.sections[i].heading; heading != "" && len(names) < maxHeadings {
			names = append(names, heading)
		}
	}
	if len(names) == 0 {
		return "[No section fits: the page has no headings]"
	}
	return "[No section fits. The page has: " + strings.Join(names, "; ") + "]"
}
