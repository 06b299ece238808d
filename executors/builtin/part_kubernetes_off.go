//go:build nokubernetes

package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

type kubernetesConfig = struct{}

func kubernetesPart(Config, *network.Network, *workerfile.Source) []executors.Executor { return nil }

func kubernetesSettings(*config.Executors) kubernetesConfig { return kubernetesConfig{} }
