package executors_test

import (
	"context"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/noop"
)

func greet(context.Context, struct{}) (string, error) { return "hello", nil }

func TestOwnerOf(t *testing.T) {
	for want, e := range map[string]executors.Executor{
		"package github.com/taskgrove/taskgrove/executors/noop":        noop.New(),
		"function github.com/taskgrove/taskgrove/executors_test.greet": executors.Func("greet", greet),
	} {
		if got := executors.OwnerOf(e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
