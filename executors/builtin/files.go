package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	fileops "github.com/taskgrove/taskgrove/executors/file"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

func fileExecutor(cfg Config, net *network.Network, file *workerfile.Source) executors.Executor {
	cfg.File.Network = net
	cfg.File.Place = func(pool string) fileops.Place { return place(cfg.FileRoot, file.File().Pool(pool)) }
	return fileops.New(cfg.File)
}

// workPlace is where a pool's tasks find and leave files, beside their own directory.
func workPlace(root string, file *workerfile.Source) func(pool string) workdir.Place {
	return func(pool string) workdir.Place {
		p := place(root, file.File().Pool(pool))
		return workdir.Place{Dir: p.Root, ReadOnly: p.ReadOnly}
	}
}

// archives are the drivers of archives that a pool allows; nil: any.
func archives(file *workerfile.Source) func(pool string) []string {
	return func(pool string) []string {
		rules := file.File().Pool(pool)
		return rules.Archives()
	}
}

// place is where the tasks of a pool may use files: as the worker's file says of it, or else as its settings do. In the mode enterprise that is nowhere.
func place(root string, rules workerfile.Pool) fileops.Place {
	f := rules.Files
	switch {
	case rules.Enterprise():
		return fileops.Place{}
	case f == nil:
		return fileops.Place{Root: root}
	case f.Off:
		return fileops.Place{}
	case f.Root != "":
		root = f.Root
	}
	return fileops.Place{Root: root, ReadOnly: f.ReadOnly}
}
