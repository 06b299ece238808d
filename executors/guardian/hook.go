//go:build linux

package guardian

import "os"

// processName is argv[0] of a guardian; nothing else starts this program by that name.
const processName = "taskgrove-guardian"

// The guardian starts here and not in main, so that no program can forget it (it would then start itself again and
// again), and so that the packages which initialise later cost a guardian nothing.
func init() { Hook() }

// Hook becomes the guardian, and does not return, if this process was started as one. Importing the package is enough;
// a main may call it first thing to say so.
func Hook() {
	if len(os.Args) > 0 && os.Args[0] == processName {
		os.Exit(guard(os.Args[1:]))
	}
}
