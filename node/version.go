package node

import (
	"runtime/debug"

	"github.com/taskgrove/taskgrove"
)

// release is set by the linker, where the source has no repository to name its commit:
// -ldflags "-X github.com/taskgrove/taskgrove/node.release=0.3.0+b1f2c3d4e5f6".
var release string

// Version names this build: what the linker was told, else the file VERSION and, as far as the build knows, the commit.
func Version() string {
	if release != "" {
		return release
	}
	commit, changed := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				commit = "+" + s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = ".changed"
			}
		}
	}
	if commit == "" {
		return taskgrove.Version
	}
	return taskgrove.Version + commit + changed
}
