//go:build !nodocker

package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/docker"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

type dockerConfig = docker.Config

// dockerPart makes the executors that the build tag nodocker leaves out.
func dockerPart(cfg Config, file *workerfile.Source) []executors.Executor {
	if cfg.Docker.Policy == nil {
		cfg.Docker.Policy = func(pool string) docker.Policy { return dockerPolicy(file.File().Pool(pool).Docker) }
		cfg.Docker.Pools = func() []string { return poolsWith(file, func(p workerfile.Pool) bool { return p.Docker != nil }) }
	}
	return []executors.Executor{docker.New(cfg.Docker)}
}

func dockerSettings(s *config.Executors) dockerConfig {
	return docker.Config{Off: !bool(s.DockerAllow), MaxOutputBytes: int(s.OutputBytes), Grace: s.DockerGrace}
}

// dockerPolicy is what the worker's file says of a pool; nil: nothing.
func dockerPolicy(d *workerfile.Docker) docker.Policy {
	if d == nil {
		return docker.Policy{}
	}
	p := docker.Policy{
		Images: d.Images, Pull: docker.Pull(d.Pull), Volumes: d.Volumes, Networks: d.Networks, Privileged: d.Privileged,
		CapAdd: d.CapAdd, Devices: d.Devices, Namespaces: d.HostNamespaces, SecurityOpt: d.SecurityOpt, GPUs: d.GPUs,
		DefaultMemory: int64(d.DefaultMemory), MaxMemory: int64(d.MaxMemory), DefaultPids: int64(d.DefaultPids),
		MaxPids: int64(d.MaxPids), MaxCPU: d.MaxCPU, MaxShm: int64(d.MaxShm),
	}
	for _, m := range d.Mounts {
		p.Mounts = append(p.Mounts, docker.MountRoot(m))
	}
	return p
}
