//go:build etl

package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel/fill"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// excelPart makes the executors that only builds with the tag etl can run.
func excelPart(cfg Config, file *workerfile.Source) []executors.Executor {
	return fill.New(fill.Config{Place: workPlace(cfg.FileRoot, file), Enterprise: func(pool string) bool {
		rules := file.File().Pool(pool)
		return rules.Enterprise()
	}})
}
