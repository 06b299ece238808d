package sources

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/transfer"
)

// remote is a directory of a server of SFTP or SMB.
type remote struct {
	server transfer.Server
	base   string
	life   *watched
	done   func()
	end    func() error // of what dials
}

const maxLooked = 5 * bundle.MaxFiles // entries of directories

// openRemote connects, by a protocol that end closes.
func openRemote(ctx context.Context, at *bundle.Place, p transfer.Protocol, end func() error) (_ *remote, err error) {
	defer func() {
		if err != nil {
			_ = end()
		}
	}()
	in, err := call(at, p.Connection())
	if err != nil {
		return nil, err
	}
	target, faults, err := p.Target(id, in)
	if err != nil {
		return nil, err
	}
	base, bad := target.Clean(at.Spec.Origin.BasePath)
	if bad != nil {
		faults = append(faults, "bundle.source.base_path: "+bad.Error())
	}
	if len(faults) > 0 {
		return nil, executors.Invalid(id, strings.Join(faults, "; "))
	}
	r := &remote{base: base, life: watch(target.Timeout()), end: end}
	defer r.life.during(ctx)()
	if r.server, r.done, err = target.Open(r.life); err != nil {
		err = failed(r.life.explained(err))
		r.life.close()
		return nil, err
	}
	return r, nil
}

// List implements [bundle.Source].
func (r *remote) List(ctx context.Context) ([]bundle.File, error) {
	defer r.life.during(ctx)()
	l := &listing{remote: r}
	if err := l.walk("", 0); err != nil {
		return nil, failed(r.life.explained(err))
	}
	return l.files, nil
}

// listing is what was found of a directory.
type listing struct {
	*remote
	files  []bundle.File
	looked int
}

func (l *listing) walk(below string, depth int) error {
	if depth > bundle.MaxDepth {
		return fmt.Errorf("%q is more than %d directories deep", below, bundle.MaxDepth)
	}
	entries, err := l.server.ReadDir(path.Join(l.base, below))
	if err != nil {
		return fmt.Errorf("list %q: %w", path.Join(l.base, below), err)
	}
	l.life.beat()
	if l.looked += len(entries); l.looked > maxLooked {
		return fmt.Errorf("there are more than %d files and directories", maxLooked)
	}
	for _, info := range entries {
		name := info.Name()
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("list %q: the name %.200q is none that a file can have", path.Join(l.base, below), name)
		}
		if len(l.files) > bundle.MaxFiles {
			return nil
		}
		at := path.Join(below, name)
		if info.IsDir() {
			if err := l.walk(at, depth+1); err != nil {
				return err
			}
			continue
		}
		l.files = append(l.files, bundle.File{Path: at, Size: info.Size(), Modified: info.ModTime(), Link: !info.Mode().IsRegular()})
	}
	return nil
}

// Open implements [bundle.Source].
func (r *remote) Open(ctx context.Context, f bundle.File) (io.ReadCloser, error) {
	stop := r.life.during(ctx)
	in, _, err := r.server.Open(path.Join(r.base, f.Path))
	if err != nil {
		stop()
		return nil, failed(fmt.Errorf("open %q: %w", f.Path, r.life.explained(err)))
	}
	return &remoteFile{r, in, stop}, nil
}

type remoteFile struct {
	*remote
	in   io.ReadCloser
	stop func() bool
}

func (f *remoteFile) Read(p []byte) (int, error) {
	n, err := f.in.Read(p)
	f.life.beat()
	if err != nil && err != io.EOF { //nolint:errorlint // readers give it as it is
		err = failed(f.life.explained(err))
	}
	return n, err
}

func (f *remoteFile) Close() error {
	f.stop()
	return f.in.Close()
}

// Close implements [bundle.Source].
func (r *remote) Close() error {
	r.done()
	r.life.close()
	return r.end()
}
