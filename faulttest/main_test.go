package faulttest

import (
	"os"
	"testing"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestMain runs the tests, or a part of a cluster whose tests run in the process that started this one.
func TestMain(m *testing.M) {
	if code, part := RunPart(); part {
		os.Exit(code)
	}
	pgtest.Main(m)
}
