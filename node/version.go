package node

import "runtime/debug"

// release is set by the linker: -ldflags "-X github.com/taskgrove/taskgrove/node.release=v1.2.3".
var release string

// Version names this build: the release, else the module's version, else the commit.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
