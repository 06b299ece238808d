package workdir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/executors"
)

const (
	filesAtOnce = 4 // that are saved or fetched
	// warnedResult is how large a result of a step may be without a word about it.
	warnedResult = 256 << 10

	kindMissing = "artifact_missing"
	kindLarge   = "artifact_large"
	kindInput   = "artifact_input"
)

// shared is what an attempt has of the directory of its job.
type shared struct {
	call  *executors.Call
	files executors.JobFiles
	jobs  *Jobs
	step  *flowStep
	dir   *jobDir
	root  *os.Root // of the artifacts
	path  string   // of these, absolute
	log   func(text string)

	number int       // of state; 0: there is none
	state  *manifest // what the steps before have left
	temp   atomic.Int64
	others others

	mu   sync.Mutex
	have map[string]bool // files of state that are there
}

var errNoJobs = executors.Permanent(errors.New("params: the task is a step of a flow, and this worker has no place for directories of jobs"))

// enter opens the directory of a step's job, and brings what is there up to date, as far as it is there: files that the state has otherwise are removed,
// so that nothing that a failed attempt has left counts for more.
func enter(ctx context.Context, call *executors.Call, step *flowStep) (*shared, error) {
	jobs, hasDirs := call.JobDirs.(*Jobs)
	files, hasFiles := call.Files.(executors.JobFiles)
	if !hasDirs || !hasFiles {
		return nil, errNoJobs
	}
	s := &shared{call: call, files: files, jobs: jobs, step: step, have: map[string]bool{}, log: func(text string) { call.Reporter.Log("log", text) }}
	var err error
	if s.dir, err = jobs.enter(ctx, call.TreeID, step); err != nil {
		return nil, err
	}
	s.path = jobs.dirOf(s.dir, step.Workspace.Layout["artifacts"])
	if s.root, err = os.OpenRoot(s.path); err == nil {
		if s.state, s.number, err = s.before(ctx); err == nil {
			err = s.tidy()
		}
	}
	if err != nil {
		s.leave()
		return nil, err
	}
	return s, nil
}

func (s *shared) leave() {
	if s.root != nil {
		_ = s.root.Close()
	}
	s.jobs.leave(s.dir)
}

// newest reads what the successful steps of a job have left; an empty one: nothing yet.
func (s *shared) newest(ctx context.Context, job string) (*manifest, int, error) {
	text, number, err := s.files.Newest(ctx, job)
	if err != nil {
		return nil, 0, fmt.Errorf("look for the files of job %s: %w", job, err)
	}
	if text == nil {
		return &manifest{Version: 1, Job: job}, 0, nil
	}
	defer text.Close() //nolint:errcheck // it was only read
	m, err := readManifest(text, job)
	if err != nil {
		return nil, 0, fmt.Errorf("the manifest of the files of job %s: %w", job, err)
	}
	return m, number, nil
}

// before is what the steps before have left: those of the item, else those of what it begins with.
func (s *shared) before(ctx context.Context) (*manifest, int, error) {
	m, number, err := s.newest(ctx, s.step.files())
	for _, name := range s.step.From {
		if err != nil || number > 0 || len(m.Files) > 0 {
			break
		}
		around, n, err := s.newest(ctx, name)
		if err != nil {
			return nil, 0, err
		}
		if n > 0 {
			m.Files = around.Files
			if err := m.index(); err != nil {
				return nil, 0, err
			}
		}
	}
	return m, number, err
}

// tidy finds out which files of the state are there, and removes what is there in their place.
func (s *shared) tidy() error {
	if before := s.dir.synced; before != nil && s.number >= s.dir.version { // else what was left did not count, and stays
		for i := range before.Files {
			if name := before.Files[i].Name; s.state.file(name) == nil {
				if err := s.root.Remove(name); err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENOTEMPTY) {
					delete(s.dir.known, name)
					continue
				} else if !strings.Contains(err.Error(), "path escapes") {
					return err
				}
			}
		}
	}
	looked := map[string]bool{}
	for i := range s.state.Files {
		f := &s.state.Files[i]
		for dir := range parents(f.Name) {
			if looked[dir] {
				continue
			}
			looked[dir] = true
			if info, err := s.root.Lstat(dir); err == nil && !info.IsDir() {
				if err := s.root.Remove(dir); err != nil {
					return err
				}
			} else if err != nil {
				break // those below are not there either
			}
		}
		info, err := s.root.Lstat(f.Name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		same := false
		if err == nil {
			same, err = s.same(f, info)
		}
		if err == nil && !same {
			err = s.root.RemoveAll(f.Name)
		}
		if err != nil {
			return err
		}
		s.have[f.Name] = same
	}
	s.dir.synced, s.dir.version = s.state, s.number
	return nil
}

// same reports whether a file that is there has the content of one of the state.
func (s *shared) same(f *sharedFile, info fs.FileInfo) (bool, error) {
	if !info.Mode().IsRegular() || info.Size() != f.Size || executable(info) != f.Executable {
		return false, nil
	}
	if known := s.dir.known[f.Name]; known.fits(info) {
		return known.sha256 == f.SHA256, nil
	}
	digest, err := s.digest(f.Name)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return false, nil
		}
		return false, err
	}
	s.dir.known[f.Name] = stampOf(info, digest)
	return digest == f.SHA256, nil
}

func executable(info fs.FileInfo) bool { return info.Mode().Perm()&0o100 != 0 }

func (s *shared) digest(name string) (string, error) {
	f, err := s.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// open opens a plain file. It does not wait for what has taken its place.
func (s *shared) open(name string) (*os.File, error) {
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errors.Join(err, fmt.Errorf("%.200q is no plain file any more", name))
	}
	return f, nil
}

// restore fetches files of the state that are not there.
func (s *shared) restore(ctx context.Context, files []*sharedFile) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	done := make([]string, len(files))
	stamps := make([]stamp, len(files))
	for i, f := range files {
		if s.have[f.Name] {
			continue
		}
		group.Go(func() (err error) {
			if stamps[i], err = s.fetch(ctx, s.root, f, f.Name, 0o600); err != nil {
				return fmt.Errorf("restore %.200q of job %s: %w", f.Name, s.step.Job, err)
			}
			done[i] = f.Name
			return nil
		})
	}
	err := group.Wait()
	for i, name := range done {
		if name != "" {
			s.have[name], s.dir.known[name] = true, stamps[i]
		}
	}
	return err
}

// fetch makes a file, whole or not at all, in the place of what is there.
func (s *shared) fetch(ctx context.Context, root *os.Root, f *sharedFile, name string, mode fs.FileMode) (stamp, error) {
	content, err := s.files.Open(ctx, f.ref())
	if err != nil {
		return stamp{}, err
	}
	defer content.Close() //nolint:errcheck // it was only read
	if f.Executable {
		mode |= 0o100
	}
	temp := fmt.Sprintf("%srestored-%d", ownPrefix, s.temp.Add(1))
	_ = root.RemoveAll(temp)
	to, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return stamp{}, err
	}
	_, err = io.Copy(to, content)
	if err = errors.Join(err, to.Close()); err == nil {
		if dir := path.Dir(name); dir != "." {
			err = realDir(root, dir)
		}
	}
	if err == nil {
		if info, there := root.Lstat(name); there == nil && info.IsDir() {
			err = root.RemoveAll(name)
		}
	}
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = root.Remove(temp)
		return stamp{}, err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return stamp{}, err
	}
	return stampOf(info, f.SHA256), nil
}

// named are the files of the state that a path of the task may mean: with wildcards as a shell has them, and all that is below.
func (s *shared) named(name string) (found []*sharedFile) {
	name = filepath.ToSlash(name)
	if name == "." || !strings.ContainsAny(name, wildcards) {
		return s.state.below(name)
	}
	pattern := strings.Split(strings.ReplaceAll(name, "[!", "[^"), "/")
	for i := range s.state.Files {
		f := &s.state.Files[i]
		parts := strings.Split(f.Name, "/")
		if len(parts) < len(pattern) {
			continue
		}
		fits := true
		for k, part := range pattern {
			ok, err := path.Match(part, parts[k])
			fits = fits && (ok && err == nil || part == parts[k])
		}
		if fits {
			found = append(found, f)
		}
	}
	return found
}

// tooMany is the error of more than may be kept.
func tooMany(format string, args ...any) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf("workspace: "+format, args...)), kindLarge)
}

// found is a file that is below the artifacts when the work is done.
type found struct {
	sharedFile
	info fs.FileInfo
	save bool // it is new, or has another content
}

// look finds the plain files below the artifacts, by name. Nothing else is kept: links are told of.
func (s *shared) look() (list []*found, err error) {
	entries, links := 0, []string(nil)
	err = fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch entries++; {
		case entries > maxEntries:
			return tooMany("more than %d entries are below the job's artifacts", maxEntries)
		case err != nil:
			return fmt.Errorf("workspace: %.200q: %w", name, bare(err))
		case name == ".":
			return nil
		case ownFile(name) && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || ownFile(name):
			return nil
		case !d.Type().IsRegular():
			links = append(links, name)
			return nil
		}
		if wrong := checkName(name); wrong != nil {
			return executors.WithKind(executors.Permanent(fmt.Errorf("workspace: %w", wrong)), kindInput)
		}
		if len(list) == maxJobFiles {
			return tooMany("more than %d files are below the job's artifacts", maxJobFiles)
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("workspace: %.200q: %w", name, bare(err))
		}
		list = append(list, &found{sharedFile: sharedFile{Name: name, Size: info.Size(), MediaType: MediaType(name), Executable: executable(info)}, info: info})
		return nil
	})
	if err == nil && len(links) > 0 {
		s.log(fmt.Sprintf("%d entries below the job's artifacts are not kept, as they are no plain files: %.200q", len(links), links[0]))
	}
	return list, err
}

// reopen opens the artifacts again where the step has made the directory anew. What has its place otherwise is never followed, and nothing is kept.
func (s *shared) reopen() error {
	name := path.Join(s.dir.path, s.step.Workspace.Layout["artifacts"])
	replaced := func(what string) error {
		return executors.WithKind(executors.Permanent(fmt.Errorf("workspace: %s; a step may empty that directory, or make it anew, and nothing else may take its place", what)), kindInput)
	}
	info, err := s.jobs.home.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return replaced("the step has removed or moved the directory of the job's artifacts")
	case err != nil:
		return fmt.Errorf("workspace: the directory of the job's artifacts: %w", bare(err))
	case info.Mode()&fs.ModeSymlink != 0:
		return replaced("the step has put a link in the place of the directory of the job's artifacts")
	case !info.IsDir():
		return replaced("the step has put a file in the place of the directory of the job's artifacts")
	}
	if now, err := s.root.Stat("."); err == nil && os.SameFile(now, info) {
		return nil
	}
	again, err := s.jobs.home.OpenRoot(name)
	if err != nil {
		return fmt.Errorf("workspace: the directory of the job's artifacts: %w", bare(err))
	}
	if now, err := again.Stat("."); err != nil || !os.SameFile(now, info) { // it was replaced a moment ago
		_ = again.Close()
		return replaced("the step's processes still replace the directory of the job's artifacts")
	}
	_ = s.root.Close()
	s.root = again
	return nil
}

// keep saves new and changed files, and then a manifest of all, if it is another one than before.
func (s *shared) keep(ctx context.Context) error {
	if err := s.reopen(); err != nil {
		return err
	}
	list, err := s.look()
	if err != nil {
		return err
	}
	next := &manifest{Version: 1, Flow: s.step.Flow, Run: s.step.Run, Job: s.step.files(), Step: s.step.Step, Files: make([]sharedFile, 0, len(list))}
	files, dirs, changed, saves := map[string]bool{}, map[string]bool{}, false, 0
	for _, f := range list {
		files[f.Name] = true
		for dir := range parents(f.Name) {
			dirs[dir] = true
		}
		before := s.state.file(f.Name)
		if before != nil {
			same := *before
			same.Executable = f.Executable
			is, err := s.same(&same, f.info)
			if err != nil {
				return fmt.Errorf("workspace: %.200q: %w", f.Name, bare(err))
			}
			if is {
				f.sharedFile = same
				changed = changed || same != *before
				continue
			}
		}
		f.save, changed = true, true
		saves++
	}
	if saves > maxFiles {
		return tooMany("%d files below the job's artifacts are new or changed, and an attempt keeps at most %d", saves, maxFiles)
	}
	for i := range s.state.Files {
		f := &s.state.Files[i]
		gone := s.have[f.Name] || dirs[f.Name] // or another file has the place of a directory above it
		for dir := range parents(f.Name) {
			gone = gone || files[dir]
		}
		switch {
		case files[f.Name]:
		case gone:
			next.Deleted = append(next.Deleted, f.Name)
			changed = true
		default: // it was not asked for, and stays as it is
			next.Files = append(next.Files, *f)
		}
	}
	if !changed {
		return nil
	}
	if len(next.Files)+len(list) > maxJobFiles {
		return tooMany("the job has more than %d files", maxJobFiles)
	}
	if err := s.save(ctx, list); err != nil {
		return err
	}
	for _, f := range list {
		next.Files = append(next.Files, f.sharedFile)
		s.dir.known[f.Name] = stampOf(f.info, f.SHA256)
	}
	if err := next.index(); err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if len(text) > maxManifest {
		return tooMany("the names of the job's files have more than %d MiB together", maxManifest>>20)
	}
	if err := s.files.SaveManifest(ctx, s.step.files(), s.number+1, text); err != nil {
		return err
	}
	s.dir.synced, s.dir.version = next, s.number+1
	return nil
}

// save saves the files that need it.
func (s *shared) save(ctx context.Context, list []*found) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	for _, f := range list {
		if !f.save {
			continue
		}
		group.Go(func() error {
			content, err := s.open(f.Name)
			if err != nil {
				return fmt.Errorf("workspace: %.200q: %w", f.Name, bare(err))
			}
			defer content.Close() //nolint:errcheck // it was only read
			ref, err := s.files.Save(ctx, executors.SavedFile{Name: f.Name, MediaType: f.MediaType, Size: f.Size, Unlisted: true}, content)
			if err != nil {
				return fmt.Errorf("workspace: %w", err)
			}
			f.SHA256 = ref.SHA256
			return nil
		})
	}
	return group.Wait()
}

// shown gives a result with paths in the directories of jobs written as they are stored.
func (s *shared) shown(result any) (any, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(result); err != nil {
		return nil, err
	}
	places := append([]jobPlace{{s.path, s.step.files()}}, s.others.places()...)
	if base, err := s.jobs.Base(); err != nil {
		return nil, err
	} else if quoted, _ := json.Marshal(base); bytes.Contains(out.Bytes(), quoted[1:len(quoted)-1]) {
		var value any
		decoder := json.NewDecoder(bytes.NewReader(out.Bytes()))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		result, err = texts(value, func(text string) (string, error) {
			for _, p := range places {
				if stored, ok := p.stored(text); ok {
					return stored, nil
				}
			}
			return text, nil
		})
		if err != nil {
			return nil, err
		}
	}
	if out.Len() > warnedResult {
		s.log(fmt.Sprintf("the result has %d bytes; what has more than %d KiB is better left in a file", out.Len(), warnedResult>>10))
	}
	return result, nil
}
