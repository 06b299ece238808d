//go:build !etl

package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// excelPart describes the executors that only builds with the tag etl can run, so that flows for other workers are checked here.
func excelPart(Config, *workerfile.Source) []executors.Executor { return excel.Absent() }
