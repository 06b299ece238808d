package command_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/command"
)

func TestWhitelistOfLaunchersIsWarnedOf(t *testing.T) {
	for list, want := range map[string]string{
		"":                  "",
		"ls,echo,/bin/cat":  "",
		"findmnt,shuf,envy": "",
		"find":              "find", "env": "env", "xargs": "xargs", "awk": "awk", "sh": "sh", "python": "python",
		"ls,/usr/bin/python3.13": "/usr/bin/python3.13",
		"bash,ls,perl5":          "bash, perl5",
	} {
		cfg := command.Config{Allow: true, Whitelist: command.ParseWhitelist(list)}
		got := command.New(cfg).Advice()
		switch {
		case want == "" && len(got) > 0, want != "" && len(got) != 1:
			t.Errorf("%s: got %q", list, got)
		case want != "" && !strings.Contains(got[0], "confine them: "+want+" can start"):
			t.Errorf("%s: got %q, want it to name %s", list, got, want)
		}
	}
	if got := command.New(command.Config{Whitelist: []string{"sh"}}).Advice(); got != nil {
		t.Errorf("commands are off: got %q", got)
	}
}
