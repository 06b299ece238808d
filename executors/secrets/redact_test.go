package secrets

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

const pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----\n"

func marshal(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// TestTextHoldsNoSecretInAnyForm writes secrets as programs do.
func TestTextHoldsNoSecretInAnyForm(t *testing.T) {
	for _, secret := range []string{"hunter2-hunter2", `q"u\o'te<d>&é☃ 😀+/`, "tab\tand\nnew line", "äöü", "1234567890", "sp ace/slash?&=%", "it's (a)*~;\"test\":+$,#@\\"} {
		r := newRedactor([]string{secret})
		twice := marshal(marshal(secret))
		for form, text := range map[string]string{
			"plain": secret, "in JSON": marshal(secret), "in JSON in JSON": twice, "in a query": url.QueryEscape(secret), "in a path": url.PathEscape(secret),
			"in a query, lower": percents.ReplaceAllStringFunc(url.QueryEscape(secret), strings.ToLower),
			"in HTML":           html.EscapeString(secret), "in Go": strconv.Quote(secret), "in ASCII": asciiOnly(marshal(secret)),
			"by Python's quote": inURL(secret, "~/"), "by encodeURIComponent": inURL(secret, "~!'()*"), "by encodeURI": inURL(secret, "~!'()*;/?:@&=+$,#"), "in a URL's password": url.UserPassword("u", secret).String(),
			"by Java, lower": strings.ToLower(strings.ReplaceAll(inURL(strings.ToLower(secret), "*"), "%20", "+")), "by PHP": strings.ReplaceAll(marshal(secret), "/", `\/`), "in CSV": `"` + strings.ReplaceAll(secret, `"`, `""`) + `"`,
			"in SQL": "'" + strings.ReplaceAll(secret, "'", "''") + "'", "in XML": strings.NewReplacer("&#39;", "&apos;", "&#34;", "&quot;").Replace(html.EscapeString(secret)),
			"in Python's HTML": strings.NewReplacer("&#39;", "&#x27;", "&#34;", "&quot;").Replace(html.EscapeString(secret)),
			"in a shell":       "'" + strings.ReplaceAll(secret, "'", `'\''`) + "'", "in hex": hex.EncodeToString([]byte(secret)), "in HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		} {
			got := r.Text("before " + text + " after " + text)
			if strings.Count(got, stars) < 2 || !strings.HasPrefix(got, "before ") {
				t.Errorf("%q %s: %q became %q", secret, form, text, got)
			}
			if strings.Contains(got, secret) {
				t.Errorf("%q %s: still in %q", secret, form, got)
			}
		}
		for before := range 7 {
			for after := range 4 {
				plain := strings.Repeat("x", before) + secret + strings.Repeat("y", after)
				for name, e := range map[string]*base64.Encoding{"standard": base64.StdEncoding, "url": base64.RawURLEncoding} {
					if got := r.Text(e.EncodeToString([]byte(plain))); !strings.Contains(got, stars) {
						t.Errorf("%q in %s base64 behind %d bytes: %q", secret, name, before, got)
					}
				}
			}
		}
	}
}

func TestText(t *testing.T) {
	for fact, tt := range map[string]struct {
		secrets    []string
		text, want string
	}{
		"nothing in it":               {[]string{"hunter2"}, "a text", "a text"},
		"one that holds another":      {[]string{"hunter", "hunter2000"}, "hunter2000 hunter hunter2", "*** *** ***2"},
		"basic authentication":        {[]string{"hunter2!"}, "Basic " + base64.StdEncoding.EncodeToString([]byte("user:hunter2!")), "Basic dXNlcjp***Q=="},
		"the password of a URL":       {[]string{"postgres://u:p%40ssword@h/db"}, "password is p@ssword", "password is ***"},
		"the token of a URL":          {[]string{"https://h/hook?token=0123456789"}, "/hook?token=0123456789, token 0123456789", "***, token ***"},
		"the user of a URL":           {[]string{"https://token@h/"}, "Bearer token", "Bearer ***"},
		"a key within JSON":           {[]string{`{"type":"account","keys":["0123456789abcdef"]}`}, "account 0123456789abcdef", "account ***"},
		"a line of several":           {[]string{pem}, "key: MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "key: ***"},
		"what only frames a key":      {[]string{pem}, "a -----BEGIN KEY----- line", "a -----BEGIN KEY----- line"},
		"one of three bytes":          {[]string{"abc"}, "abc", "abc"},
		"one of four":                 {[]string{"abcd"}, "abcd", "***"},
		"cut at the end":              {[]string{"correct horse battery"}, "token: correct hor", "token: ***"},
		"its rest":                    {[]string{"correct horse battery"}, "orse battery is it", "*** is it"},
		"little of it at the end":     {[]string{"correct horse battery"}, "this is correct", "this is correct"},
		"its beginning in the middle": {[]string{"correct horse battery"}, "correct horse b is one", "correct horse b is one"},
		"both ends":                   {[]string{"correct horse battery"}, "orse battery, correct horse", "***, ***"},
	} {
		if got := newRedactor(tt.secrets).Text(tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", fact, got, tt.want)
		}
	}
	if r := newRedactor([]string{"abc", ""}); r != nil || r.Text("abc") != "abc" || string(r.JSON([]byte(`"abc"`))) != `"abc"` {
		t.Errorf("without anything to look for: %+v", r)
	}
}

// TestLineCutAnywhereShowsLittle: an output tells a long line in parts.
func TestLineCutAnywhereShowsLittle(t *testing.T) {
	const secret = "T0P-s3cr3t-of-thirty-two-bytes!!"
	r := newRedactor([]string{secret})
	for cut := 1; cut < len(secret); cut++ {
		shown := r.Text("x"+secret[:cut]) + "|" + r.Text(secret[cut:]+"y")
		if !strings.Contains(shown, stars) || len(shown) > len("x***|***y")+16 {
			t.Errorf("cut at %d: %s", cut, shown)
		}
	}
}

func TestJSONStaysJSON(t *testing.T) {
	for fact, tt := range map[string]struct{ secret, text, want string }{
		"nothing in it":                   {"hunter2", `{"a":[1,true,null,"x"]}`, `{"a":[1,true,null,"x"]}`},
		"a value":                         {"hunter2", `{"a" : "is hunter2"}`, `{"a" : "is ***"}`},
		"a name":                          {"hunter2", `{"hunter2":1}`, `{"***":1}`},
		"a number":                        {"123456", `[123456,-1.234567e3,12345]`, `["***",-1.234567e3,12345]`},
		"what JSON is made of":            {`","`, `["a","b"]`, `["a","b"]`},
		"brackets and commas":             {`},{"x":`, `[{"y":1},{"x":2}]`, `[{"y":1},{"x":2}]`},
		"quoted":                          {`hun"ter\2`, `{"a":"is hun\"ter\\2"}`, `{"a":"is ***"}`},
		"escaped though it need not be":   {"hunter2", `["\u0068unter2"]`, `["***"]`},
		"JSON within":                     {`hun"ter`, `["{\"a\":\"hun\\\"ter\"}"]`, `["{\"a\":\"***\"}"]`},
		"the end of an output":            {"correct horse battery", `{"stdout":"token: correct hor","truncated":true}`, `{"stdout":"token: ***","truncated":true}`},
		"escapes without a secret":        {"hunter2", `["a\nb\u00e9"]`, `["a\nb\u00e9"]`},
		"words":                           {"true", `[true,"true"]`, `[true,"***"]`},
		"beyond ASCII, escaped":           {"pässword", `["p\u00e4ssword"]`, `["***"]`},
		"only a name that repeats itself": {"hunter2", `{"hunter2":1,"***":2}`, `{"***":1,"***":2}`},
	} {
		got := string(newRedactor([]string{tt.secret}).JSON([]byte(tt.text)))
		if got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("%s: got %s, want %s", fact, got, tt.want)
		}
	}
}

// FuzzJSON: whatever the secret and the text, JSON stays JSON, and no string in it holds the secret.
func FuzzJSON(f *testing.F) {
	f.Add("hunter2", `{"a":["hunter2",1]}`)
	f.Add(`","`, `["a","b","\",\""]`)
	f.Add("\\u0041", `["\\u0041"]`)
	f.Fuzz(func(t *testing.T, secret, text string) {
		if !json.Valid([]byte(text)) || strings.Contains(secret, "*") {
			return
		}
		r := newRedactor([]string{strings.ToValidUTF8(secret, "?")})
		got := r.JSON([]byte(text))
		if !json.Valid(got) {
			t.Fatalf("%q in %s: %s", secret, text, got)
		}
		var v any
		_ = json.Unmarshal(got, &v)
		if s := fmt.Sprint(v); r != nil && len(secret) > 3 && strings.Contains(s, secret) && !strings.ContainsAny(secret, "[]: <>tfn0123456789") {
			t.Errorf("%q is in %s", secret, s)
		}
	})
}

func BenchmarkRedactor(b *testing.B) {
	secrets := []string{"0123456789abcdefABCDEF0123456789", "correct horse battery staple"}
	r := newRedactor(secrets)
	line := strings.Repeat("a line of a log, as they are. ", 4)
	random := rand.New(rand.NewPCG(1, 2))
	var large strings.Builder
	large.WriteString(`[`)
	for large.Len() < 1<<20 {
		fmt.Fprintf(&large, `{"id":%d,"text":"row %d\n"},`, random.Int64(), random.Int64())
	}
	large.WriteString(`1]`)
	b.Run("make", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			newRedactor(secrets)
		}
	})
	b.Run("line", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Text(line)
		}
	})
	b.Run("none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			(*Redactor)(nil).Text(line)
		}
	})
	for name, text := range map[string]string{"JSON with escapes": large.String(), "JSON": strings.ReplaceAll(large.String(), `\n`, "")} {
		b.Run(name, func(b *testing.B) {
			text := []byte(text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r.JSON(text)
			}
		})
	}
}

// TestWith: what is added is taken out, and what was there still is.
func TestWith(t *testing.T) {
	t.Parallel()
	var none *Redactor
	one := none.With("first-secret")
	both := one.With("second-secret", "first-secret")
	for _, tt := range []struct {
		r    *Redactor
		want string
	}{{none, "first-secret second-secret"}, {one, "*** second-secret"}, {one.With(), "*** second-secret"}, {both, "*** ***"}} {
		if got := tt.r.Text("first-secret second-secret"); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestSecretsOverSeveralLines: what a program has wrapped is one text, in a result or an error, or lines that are told one by one.
func TestSecretsOverSeveralLines(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	blank := func(text string) int { return len(strings.Join(strings.Fields(text), "")) } // bytes without blanks
	long := make([]byte, 400)
	for i := range long {
		long[i] = byte(33 + random.IntN(94))
	}
	for _, secret := range []string{"T0P-s3cr3t-of-thirty-two-bytes!!", string(long)} {
		r := newRedactor([]string{secret})
		for name, form := range map[string]string{"plain": secret, "base64": base64.StdEncoding.EncodeToString([]byte("x" + secret)), "hex": hex.EncodeToString([]byte(secret))} {
			for _, width := range []int{1, 4, 7, 20, 64, 76} {
				for breaks, with := range map[string]string{"lf": "\n", "crlf": "\r\n", "indented": "\n  ", "with empty lines": "\n\n"} {
					var b strings.Builder
					for i := 0; i < len(form); i += width {
						if i > 0 {
							b.WriteString(with)
						}
						b.WriteString(form[i:min(len(form), i+width)])
					}
					text := "out:\n" + b.String() + "\nthe end\n"
					got := r.Text(text)
					if !strings.HasPrefix(got, "out:\n") || !strings.HasSuffix(got, "\nthe end\n") || blank(got) > len("out:***theend")+6 {
						t.Errorf("%s, %d bytes, %s in lines of %d: %q", name, len(secret), breaks, width, got)
					}
					// An output that was cut within it.
					if cut := r.Text(text[:len("out:\n")+len(b.String())*3/4]); blank(cut) > len("out:***")+4 {
						t.Errorf("cut: %s, %d bytes, %s in lines of %d: %q", name, len(secret), breaks, width, cut)
					}
				}
			}
			for _, width := range []int{20, 64, 76} {
				shown := ""
				for i := 0; i < len(form); i += width {
					shown += strings.ReplaceAll(r.Text(form[i:min(len(form), i+width)]), stars, "")
				}
				if len(shown) > 2*mostEdge {
					t.Errorf("%s, %d bytes in lines of %d, told one by one: %q", name, len(secret), width, shown)
				}
			}
		}
	}
	// What is not wrapped stays as it is, and so do small numbers below each other.
	r := newRedactor([]string{"1234", "correct horse battery"})
	for _, text := range []string{"12\n34\n", "a\n\n b\r\n", "\n", "is\ncorrect horse b\nis one"} {
		if got := r.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
