//go:build !nosql

package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/db"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

type sqlConfig = sql.Config

// sqlPart makes the executors that the build tag nosql leaves out.
func sqlPart(cfg Config, net *network.Network, file *workerfile.Source) []executors.Executor {
	cfg.SQL.Network = net
	cfg.SQL.Place = func(pool string) (root string, readOnly bool) {
		p := place(cfg.FileRoot, file.File().Pool(pool))
		return p.Root, p.ReadOnly
	}
	databases := sql.NewDatabases(cfg.SQL)
	steps := db.New(db.Config{Databases: databases, Place: workPlace(cfg.FileRoot, file), MaxBytes: cfg.SQL.MaxBytes})
	return append([]executors.Executor{sql.NewOn(databases)}, steps...)
}

func sqlSettings(s *config.Executors) sqlConfig {
	return sql.Config{MaxBytes: int(s.OutputBytes)}
}
