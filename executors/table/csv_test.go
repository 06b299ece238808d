package table_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"github.com/taskgrove/taskgrove/executors/table"
)

// cells are characters that mean something to somebody.
var cells = rapid.StringOf(rapid.SampledFrom([]rune("ab ,;\t|'\"\\^~\r\n=@é…\U0001F600\u00a0#")))

// layouts have no faults.
var layouts = rapid.Custom(func(t *rapid.T) table.Layout {
	for {
		l := table.Layout{
			Header:    true,
			Encoding:  rapid.SampledFrom([]string{"utf-8", "UTF_8", "utf-8-sig", "utf-16", "utf-16-le", "utf_16_be"}).Draw(t, "encoding"),
			Delimiter: rapid.SampledFrom([]string{",", ";", "\t", "|", "é", " "}).Draw(t, "delimiter"),
			Quote:     rapid.SampledFrom([]string{`"`, "'", "^"}).Draw(t, "quote"),
			Escape:    rapid.SampledFrom([]string{"", `\`, "~"}).Draw(t, "escape"),
			Double:    rapid.Bool().Draw(t, "double"),
			Quoting:   rapid.SampledFrom([]string{"minimal", "all", "none", "nonnumeric"}).Draw(t, "quoting"),
			Linefeed:  rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "linefeed"),
		}
		if len(l.Faults()) == 0 {
			return l
		}
	}
})

// write gives a file of rows of texts.
func write(l table.Layout, names []string, rows [][]string) ([]byte, error) {
	var out bytes.Buffer
	w := table.NewSeparated(&out, l)
	columns := make([]table.Column, len(names))
	for i, name := range names {
		columns[i] = table.Column{Name: name, Class: table.Text}
	}
	if err := w.Begin(columns); err != nil {
		return nil, err
	}
	for _, row := range rows {
		values := make([]table.Value, len(row))
		for i, cell := range row {
			values[i] = table.Value{Class: table.Text, Text: []byte(cell)}
		}
		if err := w.Row(values); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.End()
}

// readBack is a file for Python, and what it must find in it.
type readBack struct {
	File, Encoding, Delimiter, Quote, Escape, Quoting string
	Double                                            bool
	Rows                                              [][]string
}

const reader = `
import base64, csv, io, json, sys
for line in sys.stdin:
    c = json.loads(line)
    text = base64.b64decode(c["File"]).decode(c["Encoding"])
    quoting = csv.QUOTE_NONE if c["Quoting"] == "none" else csv.QUOTE_MINIMAL
    got = list(csv.reader(io.StringIO(text, newline=""), delimiter=c["Delimiter"], quotechar=c["Quote"], escapechar=c["Escape"] or None, doublequote=c["Double"], quoting=quoting, strict=True))
    if got != c["Rows"]:
        print(json.dumps([c, got]))
`

// What is written is read back: by Python's csv in all layouts, and by Go's in those that it knows.
func TestWhatIsWrittenIsReadBack(t *testing.T) {
	var all []readBack
	rapid.Check(t, func(t *rapid.T) {
		l := layouts.Draw(t, "layout")
		width := rapid.IntRange(1, 4).Draw(t, "width")
		row := rapid.SliceOfN(cells, width, width)
		names, rows := row.Draw(t, "names"), rapid.SliceOfN(row, 0, 4).Draw(t, "rows")
		file, err := write(l, names, rows)
		if refused, ok := errors.AsType[*table.CellError](err); ok && l.Escape == "" && (l.Quoting == "none" || !l.Double) || ok && l.Quoting == "none" && width == 1 {
			if !slices.Contains(names, refused.Column) {
				t.Fatalf("%v names no column", err)
			}
			return // there is no way to write it
		} else if err != nil {
			t.Fatal(err)
		}
		want := append([][]string{names}, rows...)
		all = append(all, readBack{base64.StdEncoding.EncodeToString(file), strings.ToLower(l.Encoding), l.Delimiter, l.Quote, l.Escape, l.Quoting, l.Double, slices.Clone(want)})
		if l.Quote != `"` || !l.Double || l.Escape != "" || l.Quoting == "none" || l.Linefeed == "\r" || l.Delimiter == "\u00a0" {
			return
		}
		text := file
		if strings.Contains(strings.ToLower(l.Encoding), "16") {
			order := unicode.LittleEndian
			if strings.HasSuffix(l.Encoding, "be") {
				order = unicode.BigEndian
			}
			if text, err = unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(file); err != nil {
				if text, err = unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder().Bytes(file); err != nil {
					t.Fatal(err)
				}
			}
		}
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF"))))
		r.Comma = []rune(l.Delimiter)[0]
		got, err := r.ReadAll()
		if err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		for i, row := range want { // Go's reader makes one line break of two characters
			want[i] = slices.Clone(row)
			for j, cell := range row {
				want[i][j] = strings.ReplaceAll(cell, "\r\n", "\n")
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no python3 on this machine")
	}
	var in bytes.Buffer
	for i := range all {
		line, _ := json.Marshal(all[i])
		in.Write(append(line, '\n'))
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", reader)
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("Python reads other rows (%v): %.2000s", err, out)
	}
}

// Python writes the same, but for what it has no word for.
func TestLayouts(t *testing.T) {
	columns := []table.Column{{Name: "a"}, {Name: "b,"}}
	row := []table.Value{{Class: table.Integer, Text: []byte("-1")}, {Class: table.Text, Text: []byte(`say "x"; y`)}}
	empty := []table.Value{{Null: true}, {Class: table.Text}}
	for name, c := range map[string]struct {
		change func(*table.Layout)
		want   string
	}{
		"as it is":          {func(*table.Layout) {}, "a,\"b,\"\n-1,\"say \"\"x\"\"; y\"\n,\n"},
		"all":               {func(l *table.Layout) { l.Quoting = "all" }, "\"a\",\"b,\"\n\"-1\",\"say \"\"x\"\"; y\"\n\"\",\"\"\n"},
		"nonnumeric":        {func(l *table.Layout) { l.Quoting = "nonnumeric" }, "\"a\",\"b,\"\n-1,\"say \"\"x\"\"; y\"\n\"\",\"\"\n"},
		"none":              {func(l *table.Layout) { l.Quoting, l.Escape = "none", `\` }, "a,b\\,\n-1,say \\\"x\\\"; y\n,\n"},
		"none, no quotes":   {func(l *table.Layout) { l.Quoting, l.Escape, l.Quote = "none", `\`, "" }, "a,b\\,\n-1,say \"x\"; y\n,\n"},
		"escaped":           {func(l *table.Layout) { l.Double, l.Escape = false, `\` }, "a,\"b,\"\n-1,say \\\"x\\\"; y\n,\n"},
		"semicolons":        {func(l *table.Layout) { l.Delimiter, l.Linefeed = ";", "\r\n" }, "a;b,\r\n-1;\"say \"\"x\"\"; y\"\r\n;\r\n"},
		"without header":    {func(l *table.Layout) { l.Header = false }, "-1,\"say \"\"x\"\"; y\"\n,\n"},
		"apostrophes":       {func(l *table.Layout) { l.Quote = "'" }, "a,'b,'\n-1,say \"x\"; y\n,\n"},
		"with a byte order": {func(l *table.Layout) { l.Encoding, l.Header = "UTF_8_SIG", false }, "\xEF\xBB\xBF-1,\"say \"\"x\"\"; y\"\n,\n"},
	} {
		l := table.Separated(",")
		c.change(&l)
		if faults := l.Faults(); len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
		}
		var out bytes.Buffer
		w := table.NewSeparated(&out, l)
		if err := errors.Join(w.Begin(columns), w.Row(row), w.Row(empty), w.End()); err != nil || out.String() != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, out.String(), err, c.want)
		}
	}
}

func TestFaultsOfALayout(t *testing.T) {
	l := table.Layout{Encoding: "ebcdic", Delimiter: ",,", Quote: "", Escape: "\n", Quoting: "some", Linefeed: ";"}
	want := []string{`encoding "ebcdic" is not known: utf-8,`, "delimiter must be one character", "quotechar must be one character", "escapechar must not be a line break or NUL",
		"quoting must be minimal, all, none or nonnumeric", `linefeed must be \n, \r\n or \r`}
	faults := l.Faults()
	if len(faults) != len(want) {
		t.Fatalf("got %q", faults)
	}
	for i := range want {
		if !strings.HasPrefix(faults[i], want[i]) {
			t.Errorf("got %q, want %q", faults[i], want[i])
		}
	}
	l = table.Separated(`"`)
	if got := fmt.Sprint(l.Faults()); got != "[delimiter and quotechar must not be the same character]" {
		t.Errorf("got %s", got)
	}
}

func TestEncodings(t *testing.T) {
	for _, c := range []struct{ encoding, text, want string }{
		{"latin-1", "é", "\xE9\n"}, {"ISO_8859_1", "ÿ", "\xFF\n"}, {"iso-8859-15", "€", "\xA4\n"}, {"cp1252", "€…", "\x80\x85\n"}, {"windows-1251", "Ж", "\xC6\n"},
		{"ascii", "abc", "abc\n"}, {"utf-16", "é", "\xFF\xFE\xE9\x00\n\x00"}, {"utf-16-be", "\U0001F600", "\xD8\x3D\xDE\x00\x00\n"}, {"koi8-r", "ж", "\xD6\n"},
		{"latin-1", "€", `!row 1, column "c": has the character '€', which the encoding latin-1 lacks`},
		{"ascii", "é", `!row 1, column "c": has the character 'é', which the encoding ascii lacks`},
		{"cp1252", "\u0081", `!row 1, column "c": has the character '\u0081', which the encoding cp1252 lacks`},
	} {
		l := table.Separated(",")
		l.Encoding, l.Header = c.encoding, false
		file, err := write(l, []string{"c"}, [][]string{{c.text}})
		got := string(file)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.encoding, got, c.want)
		}
	}
	l := table.Separated(",")
	l.Encoding = "ascii"
	if _, err := write(l, []string{"a", "ü"}, nil); err == nil || err.Error() != `the name of column "ü" has the character 'ü', which the encoding ascii lacks` {
		t.Errorf("got %v", err)
	}
}

func TestJSONOfValues(t *testing.T) {
	for _, c := range []struct {
		class      table.Class
		text, want string
	}{
		{table.Integer, "9223372036854775808", "9223372036854775808"}, {table.Float, "1e+300", "1e+300"}, {table.Float, "NaN", `"NaN"`}, {table.Float, "-Infinity", `"-Infinity"`},
		{table.Decimal, "19.90", "19.90"}, {table.Decimal, "0.1", "0.1"}, {table.Decimal, "12345678901234567890.123", `"12345678901234567890.123"`},
		{table.Decimal, "9007199254740993", `"9007199254740993"`}, {table.Decimal, "9007199254740992", "9007199254740992"}, {table.Decimal, "NaN", `"NaN"`},
		{table.Decimal, "1" + strings.Repeat("0", 500), `"1` + strings.Repeat("0", 500) + `"`}, {table.Decimal, "1.", `"1."`}, {table.Decimal, ".5", `".5"`},
		{table.Bool, "true", "true"}, {table.Date, "2026-01-02", `"2026-01-02"`}, {table.Text, "<é\u0000\"", `"<é\u0000\""`}, {table.Text, "", `""`},
		{table.JSON, "{\"a\":\n [1,  2]}", `{"a":[1,2]}`}, {table.JSON, `[1, 2]`, `[1, 2]`},
	} {
		v := table.Value{Class: c.class, Text: []byte(c.text)}
		if got := string(v.AppendJSON(nil, true)); got != c.want {
			t.Errorf("%d %q: got %s, want %s", c.class, c.text, got, c.want)
		}
	}
	if got := string(table.Value{Class: table.Decimal, Text: []byte("0.5")}.AppendJSON([]byte("x"), false)); got != `x"0.5"` {
		t.Errorf("got %s", got)
	}
	if got := string(table.Value{Null: true}.AppendJSON(nil, true)); got != "null" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkSeparated(b *testing.B) {
	w := table.NewSeparated(io.Discard, table.Separated(","))
	row := []table.Value{{Class: table.Integer, Text: []byte("12345")}, {Class: table.Text, Text: []byte("a plain text of some length")}, {Class: table.Text, Text: []byte(`with "quotes", and more`)}}
	_ = w.Begin([]table.Column{{Name: "a"}, {Name: "b"}, {Name: "c"}})
	for b.Loop() {
		if err := w.Row(row); err != nil {
			b.Fatal(err)
		}
	}
}
