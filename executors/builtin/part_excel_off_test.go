//go:build !etl

package builtin_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/excel"
)

func init() {
	for _, id := range excel.IDs {
		parts[id] = func(t *testing.T, _ *builtin.Config) conformance.Features {
			t.Skip("this build only describes it")
			return conformance.Features{}
		}
	}
}

// A program without the tag etl knows the steps that fill workbooks, and says why it can't run them.
func TestExcelIsAbsent(t *testing.T) {
	n := 0
	for _, e := range builtin.New(builtin.Config{}) {
		if !strings.HasPrefix(e.Describe().ID, "excel_") {
			continue
		}
		n++
		why := e.(executors.Disabler).Disabled()
		call, _ := conformance.Call(t, `{}`)
		if _, err := e.Run(t.Context(), call); !strings.Contains(why, "tag etl") || err == nil || !strings.Contains(err.Error(), why) || !executors.IsPermanent(err) {
			t.Errorf("%s: got %q and %v", e.Describe().ID, why, err)
		}
	}
	if n != len(excel.IDs) {
		t.Errorf("%d are described", n)
	}
}
