package faults

import (
	"flag"
	"os"
	"testing"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestMain runs the tests, or a part of a cluster whose tests run in the process that started this one.
func TestMain(m *testing.M) {
	if code, part := RunPart(); part {
		os.Exit(code)
	}
	flag.Parse()
	// Most of what these tests take is waiting for leases and redeliveries to end.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}
