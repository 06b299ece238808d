//go:build nodocker

package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

type dockerConfig = struct{}

func dockerPart(Config, *workerfile.Source) []executors.Executor { return nil }

func dockerSettings(*config.Executors) dockerConfig { return dockerConfig{} }

// containers says that there are none in this build.
func containers(*config.Executors) func() external.Containers { return nil }
