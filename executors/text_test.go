package executors_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
)

type lines []string

func (l *lines) Log(_, line string)       { *l = append(*l, line) }
func (l *lines) Progress(float64, string) {}

func TestOutputReportsLines(t *testing.T) {
	long := strings.Repeat("x", 8<<10)
	for name, row := range map[string]struct{ writes, want []string }{
		"split over writes":        {[]string{"a", "b\nc", "\n"}, []string{"ab", "c"}},
		"carriage returns go":      {[]string{"a\r\nb\r\n"}, []string{"a", "b"}},
		"empty lines stay":         {[]string{"\n\na\n"}, []string{"", "", "a"}},
		"the last needs no end":    {[]string{"a\nb"}, []string{"a", "b"}},
		"a line of the bound":      {[]string{long + "\n"}, []string{long}},
		"a longer one is cut":      {[]string{long + "y\n"}, []string{long, "y"}},
		"cut over several writes":  {[]string{long, "y", "\n"}, []string{long, "y"}},
		"invalid text is replaced": {[]string{"a\xff\x00b\n"}, []string{"a��b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got lines
			o := executors.NewOutput(10, &got, "stdout")
			for _, w := range row.writes {
				_, _ = o.Write([]byte(w))
			}
			_ = o.Close()
			if !slices.Equal(got, row.want) {
				t.Errorf("got %d lines %.40q, want %d lines %.40q", len(got), got, len(row.want), row.want)
			}
		})
	}
}

func TestOutputKeepsItsBeginning(t *testing.T) {
	o := executors.NewOutput(5, nil, "")
	for _, w := range []string{" ab", "cdef", "g"} {
		_, _ = o.Write([]byte(w))
	}
	if got := o.String(); got != "abcd" || !o.Truncated() {
		t.Errorf("got %q, truncated %v", got, o.Truncated())
	}
}

func TestFaithfulLosesNothing(t *testing.T) {
	for _, row := range []struct {
		bytes          string
		cut            bool
		text, encoding string
	}{
		{"", false, "", ""},
		{" é\n", false, " é\n", ""},
		{"a\x00", false, "YQA=", executors.Base64},
		{"\xff", false, "/w==", executors.Base64},
		{"aé"[:2], false, "YcM=", executors.Base64},
		{"aé"[:2], true, "a", ""},
		{"a€"[:3], true, "a", ""},
		{"a\U0001F600"[:4], true, "a", ""},
		{"aé", true, "aé", ""},
		{"a\xff", true, "Yf8=", executors.Base64},
		{"\xffé"[:2], true, "/8M=", executors.Base64},
		{"", true, "", ""},
	} {
		if text, encoding := executors.Faithful([]byte(row.bytes), row.cut); text != row.text || encoding != row.encoding {
			t.Errorf("%q (cut: %v): got %q, %q, want %q, %q", row.bytes, row.cut, text, encoding, row.text, row.encoding)
		}
	}
}

func (*lines) Checkpoint(data json.RawMessage) error { return nil }
