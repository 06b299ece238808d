package secrets

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
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

// plainInURLs are what is not escaped in URLs, beside letters, digits, - . and _: by RFC 3986; by Python; by encodeURIComponent and encodeURI of JavaScript; in
// paths and in passwords by Go; where a resource's URL has a user and password; by Java.
var plainInURLs = []string{"~", "~/", "~!'()*", "~!'()*;/?:@&=+$,#", "~$&+=:@", "~$&+,;=", "~!$&'()*+,;=:", "*"}

// inURL is a text as URLs have it.
func inURL(text, plain string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._", c) >= 0, strings.IndexByte(plain, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// addTexts adds a text as languages, URLs and shells write it.
func addTexts(to map[string]bool, text string) {
	to[text] = true
	for _, plain := range plainInURLs {
		escaped := inURL(text, plain)
		for _, one := range []string{escaped, strings.ReplaceAll(escaped, "%20", "+")} {
			to[one] = true
			to[percents.ReplaceAllStringFunc(one, strings.ToLower)] = true
		}
	}
	escaped := html.EscapeString(text)
	for _, quotes := range [][2]string{{"&#39;", "&#34;"}, {"&#39;", "&quot;"}, {"&#x27;", "&quot;"}, {"&#039;", "&quot;"}, {"&apos;", "&quot;"}, {"'", "&quot;"}, {"'", `"`}} {
		to[strings.NewReplacer("&#39;", quotes[0], "&#34;", quotes[1]).Replace(escaped)] = true
	}
	to[strings.ReplaceAll(text, "'", `'\''`)] = true
	to[strings.ReplaceAll(text, "'", "''")] = true // of SQL, and YAML
	to[strings.ReplaceAll(text, `"`, `""`)] = true // of CSV
	goes := strconv.Quote(text)
	goes = goes[1 : len(goes)-1]
	to[goes] = true
	to[strings.NewReplacer("'", `\'`, `\"`, `"`).Replace(goes)] = true // of Python
	for _, inner := range inJSON(text) {
		to[inner] = true
		to[strings.ReplaceAll(inner, "/", `\/`)] = true // of PHP
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
