// Package builtin is the set of executors that come with a worker.
//
// It owns the list and its order. It must not know how any of them works or who calls them: a coordinator uses only
// [Catalogue].
//
// The package is stable: programs outside the module may rely on it.
package builtin

//go:generate go run ./docgen ../..

import (
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/aggregate"
	"github.com/taskgrove/taskgrove/executors/apflow"
	"github.com/taskgrove/taskgrove/executors/approval"
	"github.com/taskgrove/taskgrove/executors/bundleplugin"
	"github.com/taskgrove/taskgrove/executors/checkitems"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/crew"
	fileops "github.com/taskgrove/taskgrove/executors/file"
	"github.com/taskgrove/taskgrove/executors/generate"
	grpccall "github.com/taskgrove/taskgrove/executors/grpc"
	"github.com/taskgrove/taskgrove/executors/llm"
	"github.com/taskgrove/taskgrove/executors/mail"
	"github.com/taskgrove/taskgrove/executors/mapper"
	"github.com/taskgrove/taskgrove/executors/mcp"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/executors/process"
	"github.com/taskgrove/taskgrove/executors/python"
	"github.com/taskgrove/taskgrove/executors/rest"
	"github.com/taskgrove/taskgrove/executors/sftp"
	"github.com/taskgrove/taskgrove/executors/sleep"
	"github.com/taskgrove/taskgrove/executors/smb"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/subtree"
	"github.com/taskgrove/taskgrove/executors/systeminfo"
	"github.com/taskgrove/taskgrove/executors/tools"
	"github.com/taskgrove/taskgrove/executors/tools/web"
	"github.com/taskgrove/taskgrove/executors/transfer"
	"github.com/taskgrove/taskgrove/executors/wait"
	"github.com/taskgrove/taskgrove/executors/websocket"
	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/executors/zipfile"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// Config configures the built-in executors. Its zero value has every guard on: commands are refused, and so are
// connections to loopback.
type Config struct {
	// WorkerFile is the path of the file with a policy for each pool, read again when it changes; empty: none.
	WorkerFile string

	// FileRoot is the directory below which tasks may use files, where the worker's file says nothing else of their pool; empty: none.
	FileRoot string

	Command command.Config
	REST    rest.Config
	SSH     ssh.Config
	GRPC    grpccall.Config
	Docker  dockerConfig // an empty struct in builds with the tag nodocker
	File    fileops.Config
	SQL     sqlConfig // an empty struct in builds with the tag nosql
	Python  python.Config
	Network network.Config // of all executors that connect to something

	WebSocket websocket.Config
	Apflow    apflow.Config
	MCP       mcp.Config

	Crew crew.Config

	Model      model.Config // of all executors that ask models; Secret is set here
	Generate   generate.Config
	SecretsDir string // a directory with a file for each secret (package secrets); empty: none

	Kubernetes kubernetesConfig // an empty struct in builds with the tag nokubernetes

	Web   web.Config   // of the tools by which agents read the web
	Tools []tools.Kind // more tools for agents
}

// New makes the built-in executors: first those of the task-tree protocol in its order, as schemas.type means the first
// of a type, then our own. The caller, usually a worker, must close those that are an io.Closer.
func New(cfg Config) []executors.Executor {
	file := workerfile.At(cfg.WorkerFile)
	cfg.Network.Policies = file
	net := network.New(cfg.Network)
	store := secretStore(cfg)
	cfg.Model.Secret = operatorSecrets(store)
	models := model.New(cfg.Model, net, file)
	agentTools := agentTools(cfg, net)
	var all []executors.Executor
	all = slices.Concat([]executors.Executor{
		systeminfo.New(),
		command.New(cfg.Command),
		rest.New(cfg.REST, net),
		ssh.New(cfg.SSH, net),
		grpccall.New(cfg.GRPC, net),
		websocket.New(cfg.WebSocket, net),
	}, dockerPart(cfg, file), []executors.Executor{
		apflow.New(cfg.Apflow, net),
		mcp.New(cfg.MCP, net),
		llm.New(models),
		crew.New(cfg.Crew, models, agentTools),
		crew.NewBatch(cfg.Crew, models, agentTools),
		generate.New(cfg.Generate, asker(models), models.Close, func() []executors.Description { return running(all) }),
		aggregate.New(),
		noop.New(),
		noop.NewRepeatable(),
		sleep.New(),
		wait.New(),
		approval.New(),
		fileExecutor(cfg, net, file),
	}, kubernetesPart(cfg, net, file), sqlPart(cfg, net, file), []executors.Executor{
		python.New(cfg.Python, net, file),
		mapper.New(),
		subtree.New(),
		process.New(cfg.Command, workPlace(cfg.FileRoot, file)),
		checkitems.New(),
		tellsSecrets(store, net),
		bundlePlugins(cfg, file),
	}, fileSteps(cfg, net, workPlace(cfg.FileRoot, file), archives(file)), excelPart(cfg, file))
	return all
}

// fileSteps are the steps of flows that work with files, or send them.
func fileSteps(cfg Config, net *network.Network, place func(pool string) workdir.Place, archives func(pool string) []string) []executors.Executor {
	zips := zipfile.Config{Place: place, MaxBytes: cfg.File.MaxUnpackedBytes, Command: cfg.Command, Archives: archives}
	transfers := transfer.Config{Place: place}
	return slices.Concat([]executors.Executor{zipfile.NewZip(zips), zipfile.NewUnzip(zips)}, sftp.New(transfers, cfg.SSH, net), smb.New(transfers, net),
		[]executors.Executor{mail.New(mail.Config{Place: place}, net)})
}

// bundlePlugins runs programs of the bundles of flows, in pools that allow it.
func bundlePlugins(cfg Config, file *workerfile.Source) executors.Executor {
	return bundleplugin.New(bundleplugin.Config{
		Place: workPlace(cfg.FileRoot, file), Grace: cfg.Command.Grace,
		Pools: func() []string { return poolsWith(file, func(p workerfile.Pool) bool { return p.BundlePlugins }) },
		Refused: func(pool string) string {
			switch rules := file.File().Pool(pool); {
			case rules.Enterprise():
				return "it is of the mode enterprise, which has the plugins of its workers and no others"
			case !rules.BundlePlugins:
				return "bundle_plugins: true of the pool in the worker's file allows them"
			}
			return ""
		},
	})
}

// asker opens conversations with models.
func asker(models *model.Models) generate.Opener {
	return func(call *executors.Call, o model.Options) (model.Asker, error) { return models.Session(call, o) }
}

// running describes those that are on.
func running(all []executors.Executor) (on []executors.Description) {
	for _, e := range all {
		if d, ok := e.(executors.Disabler); !ok || d.Disabled() == "" {
			on = append(on, e.Describe())
		}
	}
	return on
}

// agentTools are the tools that agents can name.
func agentTools(cfg Config, net *network.Network) *tools.Registry {
	return tools.NewRegistry(append(web.Kinds(cfg.Web, net), cfg.Tools...)...).Servers(mcp.NewOpener(cfg.MCP, net))
}

// Catalogue yields each executor's description, in order, for choosing executors (dag.Known) and for listing them. It can't
// run them.
//
//	var known dag.Known
//	for d := range builtin.Catalogue() {
//		known.Add(d.ID, d.Type)
//	}
func Catalogue() func(yield func(executors.Description) bool) {
	return func(yield func(executors.Description) bool) {
		for _, e := range New(Config{}) {
			if !yield(e.Describe()) {
				return
			}
		}
	}
}

// poolsWith are the pools of the worker's file, sorted, whose policy has something.
func poolsWith(file *workerfile.Source, has func(workerfile.Pool) bool) []string {
	pools := file.File().Pools
	return slices.DeleteFunc(slices.Sorted(maps.Keys(pools)), func(name string) bool { return !has(pools[name]) })
}
