package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Artifacts that come in are copied into the container before it starts, into a volume of its own; those that the task names are copied out of it when it
// has exited. So it is the same with an engine on another host.

// filesPlace is where files of the call are in the container, in the directory in.
const filesPlace = "/taskgrove"

// filesMount is the volume for files that come in. It has no name, and is gone with the container.
func filesMount() mount.Mount { return mount.Mount{Type: mount.TypeVolume, Target: filesPlace} }

// bring copies the files that come in into the container.
func (r *run) bring(ctx context.Context) error {
	if r.spec.Files == "" {
		return nil
	}
	from, to := io.Pipe()
	go func() { _ = to.CloseWithError(packed(to, r.spec.Files)) }() // ends when nobody reads any more
	_, err := r.cli.CopyToContainer(ctx, r.exit.Container, client.CopyToContainerOptions{DestinationPath: filesPlace, Content: from})
	_ = from.Close()
	if err != nil {
		return classed("copy artifacts into container", err)
	}
	return nil
}

// packed writes a directory as an archive that everybody in a container may read.
func packed(to io.Writer, dir string) error {
	archive := tar.NewWriter(to)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		below, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(below), Size: info.Size(), Mode: 0o644, ModTime: info.ModTime()}
		if d.IsDir() {
			header.Typeflag, header.Size, header.Mode, header.Name = tar.TypeDir, 0, 0o755, header.Name+"/"
		}
		if err := archive.WriteHeader(header); err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		_, err = io.Copy(archive, f)
		return err
	})
	return errors.Join(err, archive.Close())
}

// Inside is a container that has exited, and is still there.
type Inside struct{ run *run }

// workingDir is where the container's program works.
func (r *run) workingDir(ctx context.Context) (string, error) {
	got, err := r.cli.ContainerInspect(ctx, r.exit.Container, client.ContainerInspectOptions{})
	if err != nil {
		return "", classed("inspect container", err)
	}
	return path.Join("/", got.Container.Config.WorkingDir), nil
}

// Collect saves the files below the working directory that the call's patterns name.
func (in Inside) Collect(ctx context.Context, call *executors.Call) error {
	if len(call.Artifacts) == 0 {
		return nil
	}
	if call.Files == nil {
		return executors.Permanent(errors.New("artifacts: the worker has no place for them"))
	}
	dir, err := in.run.workingDir(ctx)
	if err != nil {
		return err
	}
	picker := workdir.NewPicker(call.Artifacts)
	for _, base := range workdir.Bases(call.Artifacts) {
		if base == "." && dir == "/" {
			return executors.Permanent(errors.New("artifacts: a pattern would look through the whole file system of the container: set working_dir"))
		}
		if err := in.collect(ctx, call, picker, dir, base); err != nil {
			return err
		}
	}
	return picker.Missing()
}

// collect saves what is picked of a file or directory below the working directory.
func (in Inside) collect(ctx context.Context, call *executors.Call, picker *workdir.Picker, dir, base string) error {
	linked, err := in.linked(ctx, dir, base)
	if linked || err != nil {
		return err
	}
	source, above := path.Join(dir, base), path.Dir(base) // an archive begins with the last part of its path
	if base == "." {
		source, above = dir+"/.", ""
	}
	got, err := in.run.cli.CopyFromContainer(ctx, in.run.exit.Container, client.CopyFromContainerOptions{SourcePath: source})
	if err != nil {
		return classed("copy artifacts out of container", err)
	}
	defer func() { _ = got.Content.Close() }()
	for files := tar.NewReader(got.Content); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = picker.Look()
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		name := path.Join(above, header.Name)
		wanted, err := picker.Wants(name)
		if err == nil && wanted {
			_, err = call.Files.Save(ctx, executors.SavedFile{Name: name, MediaType: workdir.MediaType(name), Size: header.Size}, files)
		}
		if err != nil {
			return fmt.Errorf("artifacts: %w", err)
		}
	}
}

// linked reports whether a symbolic link is on the way from the working directory, or nothing is there. The engine would follow it as root.
func (in Inside) linked(ctx context.Context, dir, base string) (bool, error) {
	at := dir
	for part := range strings.SplitSeq(base, "/") {
		if part == "." {
			break
		}
		at = path.Join(at, part)
		got, err := in.run.cli.ContainerStatPath(ctx, in.run.exit.Container, client.ContainerStatPathOptions{Path: at})
		if errdefs.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return true, classed("look for artifacts in container", err)
		}
		if got.Stat.Mode&fs.ModeSymlink != 0 {
			return true, nil
		}
	}
	return false, nil
}
