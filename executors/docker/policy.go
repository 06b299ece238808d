package docker

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/image"
)

// Policy is what the tasks of a pool may do on the engine. The zero value allows any image without mounts, devices or privileges, on the
// engine's usual network.
type Policy struct {
	Images  []string    // patterns, see [image.Pattern]; empty: any image
	Pull    Pull        // goes before what tasks say; empty: they say it
	Mounts  []MountRoot // what of the host may be mounted; empty: nothing
	Volumes []string    // names of volumes that may be mounted, * for any text; empty: none
	// Networks that may be joined, * for any text. Empty: bridge, default and none. host must be named; the network of another container
	// can't be had.
	Networks    []string
	Privileged  bool
	CapAdd      []string // capabilities that may be added; ALL for all
	Devices     []string // paths of the host, * for any text within a segment
	Namespaces  []string // of the host, that may be entered: pid, ipc, uts, user
	SecurityOpt []string // exactly as a task writes them
	GPUs        bool

	DefaultMemory int64   // bytes, for a task that says nothing. 0: 2 GiB
	MaxMemory     int64   // bytes. 0: what the engine has
	DefaultPids   int64   // 0: 1024
	MaxPids       int64   // 0: 4096
	MaxCPU        float64 // cores. 0: what the engine has
	MaxShm        int64   // bytes of /dev/shm. 0: the memory of the container
}

// MountRoot is a directory of the host whose content may be mounted, itself included.
type MountRoot struct {
	Path     string // absolute
	ReadOnly bool
}

// The ceilings of a pool whose policy has none.
const (
	defaultMemory = 2 << 30
	defaultPids   = 1024
	maxPids       = 4096
	leastMemory   = 6 << 20 // the engine's own least
)

// usualNetworks are those of every engine that lead nowhere special.
var usualNetworks = []string{"bridge", "default", "none"}

// RefusedError reports a container that is not run, because of what it is or what its pool does not allow. No other attempt fixes it.
type RefusedError struct {
	Faults []string // each names the input and the reason
}

// Error has all faults.
func (e *RefusedError) Error() string { return strings.Join(e.Faults, "; ") }

// judge collects what is wrong with a container.
type judge struct {
	policy Policy
	faults []string
}

func (j *judge) fault(format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

// refuse is a fault that the policy could allow by that key.
func (j *judge) refuse(key, format string, args ...any) {
	j.fault(format+"%s", append(args, opener(key))...)
}

// opener says by which key of the pool's policy the operator may allow what is refused.
func opener(key string) string {
	return fmt.Sprintf(" (see docker.%s in the pool's policy, in the worker's file)", key)
}

// check judges a container, and puts the policy's defaults and the whole name of the image into it.
func (p Policy) check(c *Container, local bool) (image.Ref, error) {
	j := &judge{policy: p}
	img := j.image(c)
	j.environment(c)
	j.mounts(c, local)
	j.networks(c)
	j.resources(c)
	j.privileges(c)
	if len(j.faults) > 0 {
		return image.Ref{}, &RefusedError{j.faults}
	}
	return img, nil
}

func (j *judge) image(c *Container) image.Ref {
	img, err := image.Parse(c.Image)
	if err != nil {
		j.fault("image: %v", err)
	} else if !image.Allowed(j.policy.Images, img) {
		j.refuse("images", "image: %s is not allowed here; allowed: %s", img, strings.Join(j.policy.Images, ", "))
	}
	switch c.Pull {
	case "":
		c.Pull = PullMissing
	case PullAlways, PullMissing, PullNever:
	default:
		j.fault("pull: must be always, missing or never")
	}
	if j.policy.Pull != "" {
		c.Pull = j.policy.Pull
	}
	return img
}

func (j *judge) environment(c *Container) {
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(c.Env[name], 0) {
			j.fault("env: %q can't be set", name)
		}
	}
	for field, words := range map[string][]string{"command": c.Command, "entrypoint": c.Entrypoint} {
		if slices.ContainsFunc(words, func(word string) bool { return strings.ContainsRune(word, 0) }) {
			j.fault("%s: contains a NUL", field)
		}
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		j.fault("working_dir: %q is not an absolute path", c.WorkingDir)
	}
}

func (j *judge) networks(c *Container) {
	allowed := j.policy.Networks
	if len(allowed) == 0 {
		allowed = usualNetworks
	}
	for _, name := range c.Networks {
		switch {
		case name == "" || strings.Contains(name, ":"):
			j.fault("network: %q is refused: a container joins no other one's network", name)
		case name == "host" && !slices.Contains(allowed, "host"): // * does not mean it
			j.refuse("networks", "network: host is not allowed here")
		case !image.Fits(allowed, name):
			j.refuse("networks", "network: %q is not allowed here; allowed: %s", name, strings.Join(allowed, ", "))
		}
		if (name == "host" || name == "none") && len(c.Networks) > 1 {
			j.fault("network: %s can't be joined with others", name)
		}
	}
}

func (j *judge) resources(c *Container) {
	p := j.policy
	if c.Memory == 0 {
		c.Memory = or(p.DefaultMemory, defaultMemory)
		if p.MaxMemory > 0 {
			c.Memory = min(c.Memory, p.MaxMemory)
		}
	}
	if c.Pids == 0 {
		c.Pids = min(or(p.DefaultPids, defaultPids), or(p.MaxPids, maxPids))
	}
	switch {
	case c.Memory < leastMemory:
		j.fault("resources.memory: must be 6m or more")
	case p.MaxMemory > 0 && c.Memory > p.MaxMemory:
		j.fault("resources.memory: %d bytes are more than the %d that are allowed here", c.Memory, p.MaxMemory)
	}
	if c.Pids < 0 || c.Pids > or(p.MaxPids, maxPids) {
		j.fault("resources.pids: must be from 1 to %d", or(p.MaxPids, maxPids))
	}
	if c.CPU < 0 || p.MaxCPU > 0 && c.CPU > p.MaxCPU {
		j.fault("resources.cpu: must be above 0 and at most %v", p.MaxCPU)
	}
	if p.MaxCPU > 0 && c.CPU == 0 {
		c.CPU = p.MaxCPU
	}
	if c.Shm < 0 || c.Shm > or(p.MaxShm, c.Memory) {
		j.fault("resources.shm: must be at most %d bytes", or(p.MaxShm, c.Memory))
	}
}

func (j *judge) privileges(c *Container) {
	p := j.policy
	refuse := func(field string, wanted, allowed []string) {
		for _, one := range wanted {
			if !image.Fits(allowed, one) {
				j.refuse(field, "%s: %q is not allowed here", field, one)
			}
		}
	}
	if c.Privileged && !p.Privileged {
		j.refuse("privileged", "privileged: is not allowed here")
	}
	if c.GPUs != nil && !p.GPUs {
		j.refuse("gpus", "gpus: are not allowed here")
	}
	capabilities := capNames(p.CapAdd)
	if slices.Contains(capabilities, "ALL") {
		capabilities = append(capabilities, "*")
	}
	refuse("cap_add", capNames(c.CapAdd), capabilities)
	for _, device := range c.Devices {
		clean := path.Clean(device)
		if !path.IsAbs(device) || clean != device || strings.Contains(device, ":") {
			j.fault("devices: %q is not a plain absolute path", device)
		} else if !image.Fits(p.Devices, device) {
			j.refuse("devices", "devices: %q is not allowed here", device)
		}
	}
	for _, name := range c.Namespaces {
		if !slices.Contains([]string{"pid", "ipc", "uts", "user"}, name) {
			j.fault("host_namespaces: %q is not one of pid, ipc, uts, user", name)
		} else if !slices.Contains(p.Namespaces, name) {
			j.refuse("host_namespaces", "host_namespaces: %s is not allowed here", name)
		}
	}
	for _, option := range c.SecurityOpt {
		if !slices.Contains(p.SecurityOpt, option) {
			j.refuse("security_opt", "security_opt: %q is not allowed here", option)
		}
	}
}

// capNames are capabilities as the engine calls them, without CAP_.
func capNames(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "CAP_")
	}
	return out
}

func or(value, otherwise int64) int64 {
	if value > 0 {
		return value
	}
	return otherwise
}
