package workerfile

import (
	"path"
	"slices"

	"github.com/taskgrove/taskgrove/executors/image"
)

// Docker is what the tasks of a pool may do on the worker's Docker engine. Where * is allowed, it stands for any text but slashes.
type Docker struct {
	Images  []string      `file:"images"`  // repository, repository:tag or repository@digest, with * and **; none: any image
	Pull    string        `file:"pull"`    // always, missing or never, whatever tasks say; empty: as tasks say
	Mounts  []DockerMount `file:"mounts"`  // directories of the host that may be mounted, with all in them; none: nothing
	Volumes []string      `file:"volumes"` // names of volumes, with *; none: no volume
	// Networks that may be joined, with *; none: bridge, default and none. host must be named.
	Networks       []string `file:"networks"`
	Privileged     bool     `file:"privileged"`
	CapAdd         []string `file:"cap_add"`         // capabilities; ALL for all
	Devices        []string `file:"devices"`         // paths of the host, with *
	HostNamespaces []string `file:"host_namespaces"` // pid, ipc, uts, user
	SecurityOpt    []string `file:"security_opt"`    // exactly as tasks write them
	GPUs           bool     `file:"gpus"`
	DefaultMemory  Size     `file:"default_memory"` // of a task that says nothing; 0: 2 GiB
	MaxMemory      Size     `file:"max_memory"`     // 0: what the engine has
	DefaultPids    int      `file:"default_pids"`   // 0: 1024
	MaxPids        int      `file:"max_pids"`       // 0: 4096
	MaxCPU         float64  `file:"max_cpu"`        // cores; 0: what the engine has
	MaxShm         Size     `file:"max_shm"`        // of /dev/shm; 0: the container's memory
}

// DockerMount is a directory of the host.
type DockerMount struct {
	Path     string `file:"path,required"` // absolute
	ReadOnly bool   `file:"read_only"`
}

// hostNamespaces are those of the host that a container may enter.
var hostNamespaces = []string{"pid", "ipc", "uts", "user"}

// leastMemory is the engine's own least for a container.
const leastMemory = 6 << 20

// Check looks at the values.
func (d *Docker) Check(at Place) {
	switch d.Pull {
	case "", "always", "missing", "never":
	default:
		at.Fault("pull", "want always, missing or never")
	}
	checkImages(at, d.Images)
	for key, patterns := range map[string][]string{
		"volumes": d.Volumes, "networks": d.Networks, "cap_add": d.CapAdd, "security_opt": d.SecurityOpt,
	} {
		checkPatterns(at, key, patterns)
	}
	for i, device := range d.Devices {
		if !path.IsAbs(device) {
			at.Key("devices").Index(i).Fault("", "want an absolute path")
		}
	}
	for i, name := range d.HostNamespaces {
		if !slices.Contains(hostNamespaces, name) {
			at.Key("host_namespaces").Index(i).Fault("", "want pid, ipc, uts or user")
		}
	}
	for key, size := range map[string]Size{"default_memory": d.DefaultMemory, "max_memory": d.MaxMemory} {
		if size > 0 && size < leastMemory {
			at.Fault(key, "no container runs with less than 6MiB")
		}
	}
	if d.DefaultPids < 0 || d.MaxPids < 0 || d.MaxCPU < 0 {
		at.Fault("", "no limit is below 0")
	}
}

// Check looks at the path.
func (m *DockerMount) Check(at Place) {
	if m.Path != "" && !path.IsAbs(m.Path) {
		at.Fault("path", "want an absolute path")
	}
}

// checkImages looks at the patterns of images of a policy.
func checkImages(at Place, patterns []string) {
	for i, text := range patterns {
		if one := at.Key("images").Index(i); !one.Faulty("") {
			if _, err := image.ParsePattern(text); err != nil {
				one.Fault("", "%v", err)
			}
		}
	}
}

// checkPatterns looks at other patterns of a policy: an empty one would fit nothing.
func checkPatterns(at Place, key string, patterns []string) {
	for i, text := range patterns {
		if one := at.Key(key).Index(i); text == "" && !one.Faulty("") {
			one.Fault("", "is empty")
		}
	}
}
