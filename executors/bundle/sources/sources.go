// Package sources opens the sources of bundles.
//
// It owns how each type of source is spoken to. It must not know what becomes of the files, or where the settings of a connection come from.
package sources

import (
	"context"
	"fmt"

	"github.com/taskgrove/taskgrove/executors/bundle"
)

// Open opens the source of a bundle. Close it. An error is a [bundle.ErrSource] if the source may answer later.
func Open(ctx context.Context, at *bundle.Place) (bundle.Source, error) {
	switch t := at.Spec.Origin.Type; t {
	case bundle.Filesystem:
		return openFilesystem(at)
	default:
		return nil, fmt.Errorf("bundle.source.type: sources of type %s can't be read by this version", t)
	}
}
