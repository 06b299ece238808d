// Package sources opens the sources of bundles.
//
// It owns how each type of source is spoken to. It must not know what becomes of the files, or where the settings of a connection come from.
package sources

import (
	"context"
	"fmt"

	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/sftp"
	"github.com/taskgrove/taskgrove/executors/smb"
	"github.com/taskgrove/taskgrove/executors/ssh"
)

// Open opens the source of a bundle. Close it. An error is a [bundle.ErrSource] if the source may answer later.
func Open(ctx context.Context, at *bundle.Place) (bundle.Source, error) {
	switch t := at.Spec.Origin.Type; t {
	case bundle.Filesystem:
		return openFilesystem(at)
	case bundle.SFTP:
		p, done := sftp.Protocol(ssh.Config{}, dialer())
		return opened(openRemote(ctx, at, p, done))
	case bundle.SMB:
		net := dialer()
		return opened(openRemote(ctx, at, smb.Protocol(net), net.Close))
	case bundle.Database:
		return openDatabase(at)
	case bundle.REST:
		return opened(openService(at))
	case bundle.Git:
		return opened(openRepository(at))
	case bundle.HTTP:
		return opened(openArchive(at))
	default:
		return nil, fmt.Errorf("bundle.source.type: sources of type %s can't be read by this version", t)
	}
}

// opened is a source without a nil of some type.
func opened[S bundle.Source](s S, err error) (bundle.Source, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
