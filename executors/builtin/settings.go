package builtin

import (
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/apflow"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/crew"
	fileops "github.com/taskgrove/taskgrove/executors/file"
	"github.com/taskgrove/taskgrove/executors/generate"
	grpccall "github.com/taskgrove/taskgrove/executors/grpc"
	"github.com/taskgrove/taskgrove/executors/mcp"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/python"
	"github.com/taskgrove/taskgrove/executors/rest"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/tools"
	"github.com/taskgrove/taskgrove/executors/tools/web"
	"github.com/taskgrove/taskgrove/executors/websocket"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// FromEnv makes the built-in executors with the guards that the environment sets, by the variables that the stock worker
// reads (TASKGROVE_COMMAND_ALLOW, TASKGROVE_ADDRESS_DENY and so on; see docs/configuration.md). The error names every
// variable that has a wrong value, or every fault of the worker's file. own are tools of yours, for agents.
func FromEnv(own ...tools.Kind) ([]executors.Executor, error) {
	var settings config.Executors
	if err := config.LoadPart(&settings); err != nil {
		return nil, err
	}
	cfg := FromSettings(&settings)
	cfg.Tools = own
	if err := workerfile.At(cfg.WorkerFile).Load(nil); err != nil {
		return nil, fmt.Errorf("%sWORKER_FILE: %w", config.Prefix, err)
	}
	return New(cfg), nil
}

// FromSettings maps the settings of a process, as package internal/config reads them. Programs outside the module call
// [FromEnv].
func FromSettings(s *config.Executors) Config {
	return Config{
		WorkerFile: s.WorkerFile, FileRoot: s.FileRoot, SecretsDir: s.SecretsDir,
		Command: command.Config{
			Allow: bool(s.CommandAllow), Whitelist: s.CommandWhitelist, KeepEnv: s.CommandKeepEnv,
			MaxOutputBytes: int(s.OutputBytes), Grace: s.CommandGrace,
		},
		SSH: ssh.Config{
			MaxOutputBytes: int(s.OutputBytes), Grace: s.CommandGrace, KnownHosts: s.SSHKnownHosts, Insecure: bool(s.SSHInsecure),
			KeyDir: s.SSHKeyDir, Agent: s.SSHAgent,
		},
		REST:   rest.Config{MaxBodyBytes: int(s.OutputBytes)},
		GRPC:   grpccall.Config{MaxMessageBytes: int(s.MessageBytes)},
		Docker: dockerSettings(s),
		File:   fileops.Config{MaxBytes: int(s.OutputBytes)},
		SQL:    sqlSettings(s),

		Kubernetes: kubernetesSettings(s),

		Python: python.Config{
			Allow: bool(s.PythonAllow), UV: s.PythonUV, Cache: s.PythonCache, CacheBytes: int64(s.PythonCacheBytes), Environments: s.PythonCacheCount,
			Build: bool(s.PythonBuild), KeepEnv: s.PythonKeepEnv, Grace: s.CommandGrace, CAFile: s.CAFile,
		},
		Network: network.Config{Guard: network.Guard{
			Allow: s.AddressAllow, Deny: s.AddressDeny, DenyPrivate: bool(s.AddressDenyPrivate),
			Loopback: bool(s.AddressLoopback && !s.AddressDenyPrivate),
		}, Outlet: network.Outlet{Proxy: s.Proxy.Reveal(), NoProxy: s.NoProxy, CAFile: s.CAFile}},

		Web: web.Config{Off: !bool(s.AgentWeb), IgnoreRobots: !bool(s.AgentRobots), GitHub: s.GitHubAPI},

		Crew:      crew.Config{MaxResultBytes: int(s.OutputBytes)},
		WebSocket: websocket.Config{MaxMessageBytes: int(s.MessageBytes)},
		Model:     model.Config{PricesFile: s.PricesFile, LookupEnv: config.LookupEnv},
		Generate: generate.Config{
			Executors: s.GenerateExecutors, NoCommands: !bool(s.GenerateCommands), MaxTasks: s.GenerateTasks, Provider: s.GenerateProvider,
			OpenAIModel: s.OpenAIModel, AnthropicModel: s.AnthropicModel,
		},
		Apflow: apflow.Config{MaxAnswerBytes: int(s.MessageBytes)},
		MCP: mcp.Config{
			Allow: bool(s.CommandAllow), Whitelist: s.CommandWhitelist, KeepEnv: s.CommandKeepEnv, Grace: s.CommandGrace,
			MaxMessageBytes: int(s.MessageBytes), MaxOutputBytes: int(s.OutputBytes),
		},
	}
}
