package node

import (
	"fmt"

	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/artifact/s3"
	"github.com/taskgrove/taskgrove/internal/config"
)

// archiveParts say where trees are archived; zero: nowhere.
type archiveParts struct {
	dir string
	s3  s3.Config
}

func archiveOf(cfg *config.Archive) archiveParts {
	return archiveParts{dir: cfg.ArchiveDir, s3: s3.Config{Endpoint: cfg.ArchiveS3Endpoint, Region: cfg.ArchiveS3Region, Bucket: cfg.ArchiveS3Bucket, Prefix: cfg.ArchiveS3Prefix,
		AccessKey: cfg.ArchiveS3AccessKey.Reveal(), SecretKey: cfg.ArchiveS3SecretKey.Reveal(), PathStyle: bool(cfg.ArchiveS3PathStyle)}}
}

// at says where the archive is, without its keys; empty: there is none.
func (a archiveParts) at() string {
	switch {
	case a.dir != "":
		return "folder " + a.dir
	case a.s3.Endpoint == "":
		return ""
	}
	return fmt.Sprintf("bucket %s at %s, prefix %q", a.s3.Bucket, a.s3.Endpoint, a.s3.Prefix)
}

// open makes the store; nil: there is none. It connects to nothing yet.
func (a archiveParts) open() (archive.Store, error) {
	switch {
	case a.dir != "":
		return archive.OpenFolder(a.dir), nil
	case a.s3.Endpoint == "":
		return nil, nil
	}
	store, err := s3.New(a.s3)
	if err != nil {
		return nil, fmt.Errorf("%sARCHIVE_S3_ENDPOINT: %w", config.Prefix, err)
	}
	return store, nil
}

// OpenArchive makes the store of archived trees that the settings name; nil: they name none. It connects to nothing yet.
func OpenArchive(cfg *config.Archive) (archive.Store, error) { return archiveOf(cfg).open() }
