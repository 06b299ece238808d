package secrets

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	leastBytes   = 4 // of a secret that is looked for: shorter ones are in every text
	leastEncoded = 6 // of a form in base64: shorter ones are in every picture
	leastLine    = 8 // of a line of a secret of several lines

	mostEncoded = 16 << 10 // bytes of a secret that is looked for in all encodings
	mostLines   = 1000     // of a secret that are looked for each
)

// addForms adds the ways in which a secret may be written: as it is; each of its lines, as logs are told by lines; the parts of a URL or of
// JSON; and all of these as encodings write them.
func addForms(to map[string]bool, secret string) {
	if len(secret) < leastBytes {
		return
	}
	addEncoded(to, secret)
	if trimmed := strings.TrimSpace(secret); len(trimmed) >= leastBytes && trimmed != secret {
		addEncoded(to, trimmed)
	}
	for _, part := range partsOf(secret) {
		addEncoded(to, part)
	}
	if !strings.Contains(secret, "\n") {
		return
	}
	for _, line := range strings.SplitN(secret, "\n", mostLines) {
		line = strings.TrimSpace(line)
		if len(line) >= leastLine && !strings.HasPrefix(line, "-----") { // of PEM, which is no secret
			addTexts(to, line)
		}
	}
}

func addEncoded(to map[string]bool, secret string) {
	if len(secret) > mostEncoded {
		to[secret] = true
		return
	}
	addTexts(to, secret)
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			if core := inBase64(encoding, secret, before); len(core) >= leastEncoded {
				to[core] = true
			}
		}
	}
	lower := hex.EncodeToString([]byte(secret))
	to[lower], to[strings.ToUpper(lower)] = true, true
}

// inBase64 is what is the same in base64 of any text that has the secret behind so many bytes (modulo three).
func inBase64(encoding *base64.Encoding, secret string, before int) string {
	text := encoding.EncodeToString(append(make([]byte, before, before+len(secret)), secret...))
	return text[(before*8+5)/6 : (before+len(secret))*8/6]
}

// percents are escapes of URLs.
var percents = regexp.MustCompile(`%[0-9A-F]{2}`)

// addTexts adds a text as languages, URLs and shells write it.
func addTexts(to map[string]bool, text string) {
	to[text] = true
	for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text), strings.ReplaceAll(url.QueryEscape(text), "+", "%20")} {
		to[escaped] = true
		to[percents.ReplaceAllStringFunc(escaped, strings.ToLower)] = true
	}
	to[html.EscapeString(text)] = true
	to[strings.ReplaceAll(text, "'", `'\''`)] = true
	goes := strconv.Quote(text)
	to[goes[1:len(goes)-1]] = true
	for _, inner := range inJSON(text) {
		to[inner] = true
		if inner != text {
			for _, outer := range inJSON(inner) { // JSON in a text in JSON
				to[outer] = true
			}
		}
	}
}

// inJSON is a text as JSON has it in quotes: as short as can be, without what HTML has a meaning for, and each in ASCII alone.
func inJSON(text string) [4]string {
	short, _ := jsontext.AppendQuote(nil, text) // it is UTF-8
	safe, _ := json.Marshal(text)
	out := [4]string{string(short), string(safe), asciiOnly(string(short)), asciiOnly(string(safe))}
	for i := range out {
		out[i] = out[i][1 : len(out[i])-1]
	}
	return out
}

// asciiOnly writes what is beyond ASCII as escapes.
func asciiOnly(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r >= 0x10000:
			r -= 0x10000
			b.WriteString(unicodeEscape(0xd800 + r>>10))
			b.WriteString(unicodeEscape(0xdc00 + r&0x3ff))
		default:
			b.WriteString(unicodeEscape(r))
		}
	}
	return b.String()
}

func unicodeEscape(r rune) string {
	digits := strconv.FormatInt(int64(r), 16)
	return `\u` + strings.Repeat("0", 4-len(digits)) + digits
}
