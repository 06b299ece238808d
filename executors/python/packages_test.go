package python

import "testing"

func TestInlineMetadata(t *testing.T) {
	for script, want := range map[string][2]string{
		"print(1)":                       {"", ""},
		"# /// script\n# ///\n":          {ofScript, ""},
		"# /// script\r\n# ///\r\nx\r\n": {ofScript, ""},
		"#!/usr/bin/python\n# /// script\n# requires-python = '>=3.11' # or newer\n# dependencies = [\n#   \"a[x]>=1; python_version < \\\"3.13\\\"\", # a\n#\n#   'b @ https://example.org/b.whl',\n# ]\n# ///\n": {
			ofScript + "a[x]>=1; python_version < \"3.13\"\nb @ https://example.org/b.whl\n", ">=3.11"},
		"# /// script\n# dependencies=[]\n# ///\n":                       {ofScript, ""},
		"# /// script\n# dependencies = [\"a\",'b']\n# # c = 1\n# ///\n": {ofScript + "a\nb\n", ""},
	} {
		requirements, python, err := inlineMetadata(script)
		if err != nil || requirements != want[0] || python != want[1] {
			t.Errorf("%s\ngot %q and %q, %v, want %q", script, requirements, python, err, want)
		}
	}
}
