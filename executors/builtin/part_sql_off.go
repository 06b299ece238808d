//go:build nosql

package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

type sqlConfig = struct{}

func sqlPart(Config, *network.Network, *workerfile.Source) []executors.Executor { return nil }

func sqlSettings(*config.Executors) sqlConfig { return sqlConfig{} }
