package docker

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/image"
)

// sockets are where container engines listen. Who can write there has the whole host.
var sockets = []string{
	"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock",
	"/run/podman/podman.sock", "/var/run/podman/podman.sock", "/run/crio/crio.sock", "/var/run/crio/crio.sock",
}

// kernel are directories of a container that the engine fills; nothing is mounted over them.
var kernel = []string{"/proc", "/sys", "/dev"}

// volumeName is what the engine takes for the name of a volume.
var volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// mounts judges what a container wants to see of the host. local: the engine is on this host, so that links can be followed. The
// engine follows them again when the container starts: whoever may write into a mounted root may change one in between.
func (j *judge) mounts(c *Container, local bool) {
	places := map[string]bool{filesPlace: c.Files != ""}
	place := func(field, target string) {
		switch {
		case !path.IsAbs(target) || path.Clean(target) != target && path.Clean(target)+"/" != target || strings.ContainsAny(target, ":\x00"):
			j.fault("%s: %q is not a plain absolute path in the container", field, target)
		case path.Clean(target) == "/" || slices.ContainsFunc(kernel, func(dir string) bool { return within(path.Clean(target), dir) && path.Clean(target) != "/dev/shm" }):
			j.fault("%s: nothing can be mounted at %s", field, target)
		case places[path.Clean(target)]:
			j.fault("%s: two mounts at %s", field, target)
		}
		places[path.Clean(target)] = true
	}
	for i, m := range c.Mounts {
		place("volumes", m.Target)
		if path.IsAbs(m.Source) {
			source, reason := j.hostPath(m, local)
			if reason != "" {
				j.fault("volumes: %s", reason)
			}
			c.Mounts[i].Source = source
			continue
		}
		switch {
		case !volumeName.MatchString(m.Source):
			j.fault("volumes: %q is neither an absolute path of the host nor the name of a volume", m.Source)
		case !image.Fits(j.policy.Volumes, m.Source):
			j.refuse("volumes", "volumes: the volume %q is not allowed here", m.Source)
		}
	}
	for _, target := range slices.Sorted(maps.Keys(c.Tmpfs)) {
		place("tmpfs", target)
		if size := c.Tmpfs[target]; size <= 0 {
			j.fault("tmpfs: %s needs a size above 0", target)
		}
	}
}

// hostPath is the path that the engine gets, with links followed where they can be, or the reason why it gets none.
func (j *judge) hostPath(m Mount, local bool) (source, reason string) {
	refused := fmt.Sprintf("%s may not be mounted here", m.Source)
	if path.Clean(m.Source) != m.Source && path.Clean(m.Source)+"/" != m.Source || strings.ContainsAny(m.Source, ":\x00") {
		return "", fmt.Sprintf("%q is not a plain path of the host: write it without .., // and :", m.Source)
	}
	source = path.Clean(m.Source)
	root, ok := j.root(source, false)
	if !ok {
		return "", refused + opener("mounts")
	}
	if local {
		real, err := filepath.EvalSymlinks(source)
		if err != nil {
			if os.IsNotExist(err) {
				return "", fmt.Sprintf("%s does not exist on the host", m.Source)
			}
			return "", fmt.Sprintf("%s: %v", m.Source, rootCause(err))
		}
		if root, ok = j.root(real, true); !ok {
			return "", refused + ": a link on its way leads out of what may be mounted"
		}
		source = real
		if info, err := os.Stat(real); err == nil && info.Mode()&fs.ModeSocket != 0 {
			return "", fmt.Sprintf("%s is a socket: who can write there may be anybody", m.Source)
		}
	}
	for _, socket := range engineSockets() {
		if within(socket, source) || local && within(resolved(socket), source) {
			return "", refused + ": the socket of a container engine is in it"
		}
	}
	if root.ReadOnly && !m.ReadOnly {
		return "", fmt.Sprintf("%s may only be mounted for reading: add :ro", m.Source)
	}
	return source, ""
}

// root is the narrowest root that holds the path. real: links in the roots themselves are followed.
func (j *judge) root(source string, real bool) (found MountRoot, ok bool) {
	for _, root := range j.policy.Mounts {
		at := path.Clean(root.Path)
		if real {
			at = resolved(at)
		}
		if within(source, at) && (!ok || len(at) >= len(found.Path)) {
			found, ok = MountRoot{at, root.ReadOnly}, true
		}
	}
	return found, ok
}

// engineSockets are the usual ones, and that of this worker's engine.
func engineSockets() []string {
	if own, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return append([]string{path.Clean(own)}, sockets...)
	}
	return sockets
}

// resolved is a path with its links followed, or as it is where they can't be.
func resolved(p string) string {
	if real, err := filepath.EvalSymlinks(p); err == nil {
		return real
	}
	if real, err := filepath.EvalSymlinks(path.Dir(p)); err == nil {
		return path.Join(real, path.Base(p))
	}
	return p
}

// within reports whether a path is the directory or below it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
