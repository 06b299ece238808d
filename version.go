// Package taskgrove names the version of this module.
//
// It owns what the file VERSION says. It must not know anything else: whoever needs the name of a build imports it.
package taskgrove

import (
	_ "embed"
	"strings"
)

//go:embed VERSION
var file string

// Version is the content of the file VERSION: major.minor.patch, of the release that this source belongs to or follows.
var Version = strings.TrimSpace(file)
