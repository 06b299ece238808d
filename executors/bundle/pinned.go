package bundle

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
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Marks stand in the inputs of tasks, and in what they come to, for the directories of the run's bundle on whichever worker it is.
const (
	DirMark   = "taskgrove-bundle:dir"
	CacheMark = "taskgrove-bundle:cache"
)

// Pinned names a version of a bundle by the digest of the list of its files: whoever has it can check all contents. The params of tasks have it as the key bundle.
type Pinned struct {
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"`
	SHA256      string `json:"sha256"` // of the list
	Size        int64  `json:"size"`   // likewise, bytes
	Stale       bool   `json:"stale,omitempty"`
}

const maxListBytes = 64 << 20

// ListText is the list of all files of a version, for [ReadList].
func ListText(files []File) []byte {
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	list := make([]snapshotFile, 0, len(sorted))
	for _, f := range sorted {
		list = append(list, snapshotFile{Path: f.Path, SHA256: f.SHA256, Size: f.Size})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(list) // texts and numbers
	return bytes.TrimSpace(b.Bytes())
}

// ReadList reads a list of files, each with its digest, and checks it.
func ReadList(text []byte) ([]File, error) {
	var list []snapshotFile
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("the list of the bundle's files: %w", err)
	}
	files := (&snapshot{Files: list}).files()
	if err := Check(files); err != nil {
		return nil, err
	}
	for _, f := range files {
		if f.SHA256 == "" || f.Size < 0 {
			return nil, fmt.Errorf("the list of the bundle's files: %.200q has no digest, or no size", f.Path)
		}
	}
	return files, nil
}

// PinnedIn is the bundle that params of a task name; nil: none. The error says what of it can't be read.
func PinnedIn(params json.RawMessage) (*Pinned, error) {
	if !bytes.Contains(params, []byte(`"bundle"`)) {
		return nil, nil
	}
	var in struct {
		Flow   string          `json:"flow_id"`
		Bundle json.RawMessage `json:"bundle"`
	}
	if json.Unmarshal(params, &in) != nil || in.Flow == "" || len(in.Bundle) == 0 || in.Bundle[0] != '{' {
		return nil, nil // it is somebody else's key
	}
	p := &Pinned{}
	if err := json.Unmarshal(in.Bundle, p); err != nil {
		return nil, fmt.Errorf("params.bundle: %w", err)
	}
	if !isDigest(p.SHA256) || p.Size < 0 || p.Size > maxListBytes {
		return nil, errors.New("params.bundle: names no list of files")
	}
	return p, nil
}

// Bounds of the bundles that a worker has.
const (
	cachedBytes = 4 << 30
	unusedFor   = time.Hour
)

// Cache has the bundles of a worker's attempts as directories, by the digests of the lists of their files. Safe for concurrent use. Nobody else uses the directory.
type Cache struct {
	dir   string
	blobs Blobs

	mu    sync.Mutex
	trees map[string]*cachedTree // by the digest of the list
	most  int64                  // bytes of those that are not in use
	now   func() time.Time
}

type cachedTree struct {
	ready chan struct{} // is closed once files and err are set
	files []File
	err   error

	// Cache.mu guards these.
	using int
	used  time.Time
	bytes int64
}

// NewCache keeps bundles below a directory, which is made when it is needed.
func NewCache(dir string) *Cache {
	return &Cache{dir: dir, blobs: Blobs{Dir: filepath.Join(dir, "cache"), Temp: filepath.Join(dir, "staged")}, trees: map[string]*cachedTree{}, most: cachedBytes, now: time.Now}
}

// Dirs are where a bundle is.
type Dirs struct {
	Dir   string // all files
	Cache string // contents, by their SHA-256
}

// Fetcher gives contents by digest and size, and fails where they are others.
type Fetcher func(ctx context.Context, name, digest string, size int64) (io.ReadCloser, error)

// Open makes the directory of a bundle, if it is not there, from contents that fetch gives; all are checked. It stays, and does not change, until done is called.
func (c *Cache) Open(ctx context.Context, p *Pinned, fetch Fetcher) (dirs Dirs, done func(), err error) {
	for {
		c.mu.Lock()
		t := c.trees[p.SHA256]
		mine := t == nil
		if mine {
			t = &cachedTree{ready: make(chan struct{})}
			c.trees[p.SHA256] = t
		}
		t.using++
		c.mu.Unlock()
		done = func() { c.leave(t) }
		if mine {
			t.files, t.err = c.fill(ctx, p, fetch)
			c.mu.Lock()
			if t.err != nil { // the next one tries again
				delete(c.trees, p.SHA256)
			}
			for _, f := range t.files {
				t.bytes += f.Size
			}
			c.mu.Unlock()
			close(t.ready)
		}
		select {
		case <-t.ready:
		case <-ctx.Done():
			done()
			return dirs, nil, context.Cause(ctx)
		}
		if t.err != nil {
			done()
			if !mine && (errors.Is(t.err, context.Canceled) || errors.Is(t.err, context.DeadlineExceeded)) { // another attempt's end
				continue
			}
			return dirs, nil, fmt.Errorf("bundle %s: %w", p.ID, t.err)
		}
		dir := filepath.Join(c.dir, "versions", p.SHA256)
		if !mine { // somebody may have touched it since
			if !c.blobs.whole(t.files, dir) || !c.sound(t.files) {
				c.mu.Lock()
				if c.trees[p.SHA256] == t {
					delete(c.trees, p.SHA256)
				}
				c.mu.Unlock()
				done()
				continue
			}
		}
		c.tidy()
		return Dirs{dir, c.blobs.Dir}, done, nil
	}
}

func (c *Cache) leave(t *cachedTree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.using--
	t.used = c.now()
}

// sound reports whether all contents are those that they were.
func (c *Cache) sound(files []File) bool {
	for _, f := range files {
		if has, err := c.blobs.Has(&f); err != nil || !has {
			return false
		}
	}
	return true
}

// fill fetches what is not there, and makes the directory.
func (c *Cache) fill(ctx context.Context, p *Pinned, fetch Fetcher) ([]File, error) {
	for _, dir := range []string{c.blobs.Dir, c.blobs.Temp, filepath.Join(c.dir, "versions")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	text, err := readAll(ctx, fetch, "the list of its files", p.SHA256, p.Size)
	if err != nil {
		return nil, err
	}
	files, err := ReadList(text)
	if err != nil {
		return nil, err
	}
	for i := range files {
		f := files[i]
		if has, err := c.blobs.Has(&f); err != nil {
			return nil, err
		} else if has {
			continue
		}
		content, err := fetch(ctx, f.Path, f.SHA256, f.Size)
		if err != nil {
			return nil, err
		}
		err = c.blobs.Put(&f, content)
		_ = content.Close() // it was only read
		if err != nil {
			return nil, err
		}
	}
	return files, c.blobs.Build(ctx, files, filepath.Join(c.dir, "versions", p.SHA256))
}

func readAll(ctx context.Context, fetch Fetcher, name, digest string, size int64) ([]byte, error) {
	content, err := fetch(ctx, name, digest, size)
	if err != nil {
		return nil, err
	}
	defer content.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(content, size+1))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%s is another one than the run has", name)
	}
	return text, nil
}

// tidy removes bundles that nothing uses: those that were not used for long, and the oldest while all have too many bytes.
func (c *Cache) tidy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := int64(0)
	var idle []string
	for digest, t := range c.trees {
		if total += t.bytes; t.using == 0 {
			idle = append(idle, digest)
		}
	}
	slices.SortFunc(idle, func(a, b string) int { return c.trees[a].used.Compare(c.trees[b].used) })
	gone := false
	for _, digest := range idle {
		t := c.trees[digest]
		if total <= c.most && c.now().Sub(t.used) < unusedFor {
			break
		}
		aside := filepath.Join(c.blobs.Temp, "gone-"+digest) // it is never half there
		if err := os.Rename(filepath.Join(c.dir, "versions", digest), aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		_ = os.RemoveAll(aside) // else it goes with the worker's directory
		delete(c.trees, digest)
		total -= t.bytes
		gone = true
	}
	if !gone {
		return
	}
	wanted := map[string]bool{}
	for _, t := range c.trees {
		select {
		case <-t.ready:
			for _, f := range t.files {
				wanted[f.SHA256] = true
			}
		default: // it is being made, of contents that nobody knows of here
			return
		}
	}
	_ = c.blobs.Keep(func(digest string) bool { return wanted[digest] }) // else they go another time
}
