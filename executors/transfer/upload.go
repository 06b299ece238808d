package transfer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Uploaded are files that are on the server now.
type Uploaded struct {
	Manifest  string   `json:"manifest"`
	Count     int      `json:"count"`
	Uploaded  []string `json:"uploaded"`
	RemoteDir string   `json:"remote_dir"`
}

const itemsText = `"items": {"type": ["string", "object"]}, "description": "What is sent: paths here, artifacts, or {\"file\": …, \"id\": …, \"remote_name\": …}. What has been sent under an id is not sent again; by default that is the name on the server. Or the JSON of such a list as a text"}`

var uploading = &doing{
	name: "upload_files", title: "Upload Files", text: "Uploads files to a directory of another host, each whole or not at all; a retry sends only the rest",
	inputs: `
    "items": {"type": ["array", "string", "object", "null"], ` + itemsText + `,
    "local_files": {"type": ["array", "string", "object", "null"], "items": {"type": ["string", "object"]}, "description": "Another name of items"},
    "remote_dir": {"type": "string", "description": "The directory on the server. It is made if it is not there"},` + parallelField,
	required: []string{"items", "remote_dir"},
	output: json.RawMessage(`{"type": "object", "properties": {
    "manifest": {"type": "string", "description": "A file here with a line of JSON for each file that was sent"},
    "count": {"type": "integer", "description": "How many files are on the server, with those that earlier attempts have sent"},
    "uploaded": {"type": "array", "items": {"type": "string"}, "description": "Their paths on the server, in the order of the input"},
    "remote_dir": {"type": "string", "description": "The directory on the server"}},
  "required": ["manifest", "count", "uploaded", "remote_dir"]}`),
	examples: []executors.Example{{Title: "Upload two files", Inputs: json.RawMessage(`{"items": ["a.csv", {"file": "b.csv", "remote_name": "2026/b.csv"}], "remote_dir": "/in"}`)}},
	read:     readUploads,
	local:    findUploads,
	run: func(a *attempt, s Server) (any, bool, error) {
		result := &Uploaded{Manifest: a.sent.at.Shown(), Count: len(a.uploads), Uploaded: []string{}, RemoteDir: a.remote}
		for _, u := range a.uploads {
			result.Uploaded = append(result.Uploaded, u.to)
		}
		left := slices.DeleteFunc(slices.Clone(a.uploads), func(u upload) bool { return a.sent.has(u) })
		if n := len(a.uploads) - len(left); n > 0 {
			a.call.Reporter.Log("log", fmt.Sprintf("%d of %d files have been sent before", n, len(a.uploads)))
		}
		if err := a.makeDirs(s, left); err != nil {
			return nil, false, err
		}
		return result, false, a.each(len(left), func(i int) error {
			err := a.upload(s, left[i])
			if err == nil {
				err = a.sent.add(left[i])
			}
			return err
		})
	},
	demo: func(in *input) any {
		return &Uploaded{Manifest: "manifests/demo.jsonl", Count: len(in.Items) + len(in.Local), Uploaded: []string{path.Join(in.RemoteDir, "demo.csv")}, RemoteDir: in.RemoteDir}
	},
}

// upload is a file that is to be sent.
type upload struct {
	id, file, to string
	at           workdir.Spot
	size         int64
}

func readUploads(a *attempt, fault func(string, ...any)) error {
	a.remote = a.clean("remote_dir", a.in.RemoteDir, fault)
	field, list := "items", a.in.Items
	if a.in.Local != nil {
		field, list = "local_files", a.in.Local
		if a.in.Items != nil {
			fault("local_files: excludes items, which it is another name of")
		}
	}
	if list == nil {
		fault("%s is required in inputs", map[bool]string{true: "local_files", false: "items"}[a.step.p.Name() == "smb"])
	}
	if len(list) > maxSent {
		fault("%s: more than %d", field, maxSent)
		return nil
	}
	ids, names := map[string]bool{}, map[string]bool{}
	for i, raw := range list {
		field := fmt.Sprintf("%s[%d]", field, i)
		var item struct {
			File string `json:"file"`
			ID   any    `json:"id"`
			Name string `json:"remote_name"`
		}
		if raw[0] == '"' {
			_ = json.Unmarshal(raw, &item.File)
		} else if raw[0] != '{' || json.Unmarshal(raw, &item) != nil {
			fault("%s: must be a path, or an object with file, id and remote_name", field)
			continue
		}
		if strings.TrimSpace(item.File) == "" {
			fault("%s: names no file", field)
			continue
		}
		if item.Name == "" {
			item.Name = filepath.Base(item.File)
		}
		name := path.Clean(item.Name)
		if !filepath.IsLocal(name) || name == "." || hasUp(item.Name) || strings.ContainsAny(item.Name, "\x00\\") || len(item.Name) > maxPath {
			fault("%s.remote_name: %.200q is no name below remote_dir", field, item.Name)
			continue
		}
		u := upload{file: item.File, to: path.Join(a.remote, name), id: name}
		a.clean(field+".remote_name", u.to, fault)
		switch id := item.ID.(type) {
		case nil:
		case string, float64:
			u.id = fmt.Sprint(id)
		default:
			fault("%s.id: must be a text or a number", field)
		}
		if ids[u.id] {
			fault("%s: the id %.200q is there twice", field, u.id)
		}
		key := u.to
		if _, is := a.target.(Caseless); is {
			key = strings.ToLower(key)
		}
		if names[key] {
			fault("%s: two files would be called %.200q on the server", field, name)
		}
		ids[u.id], names[key] = true, true
		a.uploads = append(a.uploads, u)
	}
	a.readParallel(fault)
	return nil
}

// findUploads looks for the files, so that nothing is sent if one of them can't be.
func findUploads(a *attempt) error {
	for i := range a.uploads {
		u := &a.uploads[i]
		field := fmt.Sprintf("items[%d]", i)
		var err error
		if u.at, err = a.w.At(field, u.file); err != nil {
			return err
		}
		info, err := u.at.Root.Stat(u.at.Name)
		if err != nil {
			return fileError(u.at.Err(field, err))
		}
		if !info.Mode().IsRegular() {
			return permanent("%s: %q is no plain file", field, u.file)
		}
		u.size = info.Size()
	}
	var err error
	a.sent, err = openSent(a)
	return err
}

// makeDirs makes the directories that files go to, once each.
func (a *attempt) makeDirs(s Server, all []upload) error {
	dirs := map[string]bool{}
	for _, u := range all {
		dirs[path.Dir(u.to)] = true
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := s.MkdirAll(dir); err != nil {
			return a.there("make directory", dir, err)
		}
		a.beat()
	}
	return nil
}

// temporary is the name that a file has on the server until it is whole.
func (a *attempt) temporary(u upload, attempt int) string {
	sum := sha256.Sum256([]byte(a.call.TaskID + "\x00" + a.call.IdempotencyKey + "\x00" + u.to))
	return path.Join(path.Dir(u.to), fmt.Sprintf(".%x.%d.part", sum[:6], attempt))
}

// upload sends a file under a temporary name, and gives it its own when it is whole. What earlier attempts have left there goes.
func (a *attempt) upload(s Server, u upload) error {
	f, err := u.at.Root.OpenFile(u.at.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe it does not wait for the other end
	if err != nil {
		return fileError(u.at.Err("items", err))
	}
	defer func() { _ = f.Close() }()
	const before = 20
	for earlier := max(1, a.call.Attempt-before); earlier < a.call.Attempt; earlier++ {
		_ = s.Remove(a.temporary(u, earlier)) // if there is one
		a.beat()
	}
	temporary := a.temporary(u, a.call.Attempt)
	to, err := s.Create(temporary)
	if err != nil {
		return a.there("make", u.to, err)
	}
	a.beat()
	left := u.size
	wrote, read := a.pour(to, io.LimitReader(f, u.size+1), func(n int) error { left -= int64(n); return nil })
	closed := to.Close()
	a.beat()
	switch {
	case a.ctx.Err() != nil:
	case wrote != nil || closed != nil:
		err = a.there("write", u.to, errors.Join(wrote, closed))
	case read != nil:
		err = fileError(u.at.Err("items", read))
	case left != 0:
		err = executors.WithKind(fmt.Errorf("items: %q has changed while it was sent", u.file), KindFile)
	default:
		err = a.there("replace", u.to, s.Replace(temporary, u.to))
		a.beat()
	}
	if a.ctx.Err() != nil {
		err = context.Cause(a.ctx)
	}
	if err != nil {
		_ = s.Remove(temporary) // if the server still listens
	}
	return err
}

// sentItems are what was sent: each is in a file for people and later attempts here, and in the attempt's checkpoint for those elsewhere.
type sentItems struct {
	a    *attempt
	at   workdir.Spot
	mu   sync.Mutex
	keys []string // that the checkpoint has
	done map[string]bool
}

// line is one of the manifest.
type line struct {
	ID     string `json:"id"`
	File   string `json:"file"`
	Remote string `json:"remote"`
	Size   int64  `json:"size"`
}

// key stands for an item in a checkpoint, which has little room.
func (u upload) key() string {
	sum := sha256.Sum256([]byte(u.id + "\x00" + u.to))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// openSent reads what earlier attempts have sent.
func openSent(a *attempt) (*sentItems, error) {
	const field = "manifest"
	at, err := a.w.At(field, "manifests/"+manifestName(a.call)+".jsonl")
	if err != nil {
		return nil, err
	}
	s := &sentItems{a: a, at: at, done: map[string]bool{}, keys: []string{}}
	var noted struct {
		Sent []string `json:"sent"`
	}
	_ = json.Unmarshal(a.call.Checkpoint, &noted) // none, or that of another version: all is sent again
	for _, key := range noted.Sent {
		s.note(key)
	}
	if err := at.Root.MkdirAll(filepath.Dir(at.Name), 0o755); err != nil {
		return nil, fileError(at.Err(field, err))
	}
	f, err := at.Root.OpenFile(at.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe it does not wait for the other end
	if errors.Is(err, fs.ErrNotExist) {
		return s, s.rewrite()
	} else if err != nil {
		return nil, fileError(at.Err(field, err))
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(io.LimitReader(f, 64<<20)); lines.Scan(); {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) == nil { // one that an attempt was killed at can't be read
			s.note(upload{id: l.ID, to: l.Remote}.key())
		}
	}
	return s, s.rewrite()
}

// rewrite begins the manifest with the lines of what was sent of this step's items.
func (s *sentItems) rewrite() error {
	var b strings.Builder
	for _, u := range s.a.uploads {
		if s.done[u.key()] {
			b.Write(u.line())
		}
	}
	temporary := s.at.Stage(s.a.call.Attempt)
	f, err := s.at.Root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = io.WriteString(f, b.String())
		if err = errors.Join(err, f.Close()); err == nil {
			err = s.at.Root.Rename(temporary, s.at.Name)
		}
	}
	return fileError(s.at.Err("manifest", err))
}

func (u upload) line() []byte {
	text, _ := json.Marshal(line{u.id, u.file, u.to, u.size}) // texts and a number
	return append(text, '\n')
}

// note counts an item as sent; the caller has the lock, or is alone.
func (s *sentItems) note(key string) {
	if !s.done[key] && len(s.keys) < maxSent {
		s.done[key], s.keys = true, append(s.keys, key)
	}
}

func (s *sentItems) has(u upload) bool { return s.done[u.key()] }

// add notes that an item was sent.
func (s *sentItems) add(u upload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(u.key())
	noted, err := json.Marshal(map[string]any{"sent": s.keys})
	if err == nil {
		err = s.a.call.Reporter.Checkpoint(noted)
	}
	if err != nil {
		return err
	}
	f, err := s.at.Root.OpenFile(s.at.Name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.Write(u.line())
		err = errors.Join(err, f.Close())
	}
	return fileError(s.at.Err("manifest", err))
}

// manifestName is that of a step's manifest, without its end.
func manifestName(call *executors.Call) string {
	name := call.TaskID
	var p struct {
		Step string `json:"step_id"`
	}
	if len(call.Params) > 2 && inputs.Decode("", &executors.Call{Inputs: call.Params}, &p) == nil && p.Step != "" {
		name = p.Step
	}
	name = strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	sum := sha256.Sum256([]byte(call.TaskID))
	return fmt.Sprintf("%.100s-%x-%d", name, sum[:4], call.Repeat)
}
