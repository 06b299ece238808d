// Package archive owns how trees that a cluster deletes are kept outside of it: the lines of an archived tree, the names of objects, and a folder as the store.
//
// It must not know where trees come from, or when they are deleted.
package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// ErrNotFound: the store has no such object.
var ErrNotFound = errors.New("the archive has no such object")

// Object is what a store says of an object.
type Object struct {
	Key      string
	Size     int64 // bytes
	StoredAt time.Time
}

// Store keeps objects under keys with slashes. Safe for concurrent use; every call ends with its context.
type Store interface {
	// CreateObject begins an object. Nobody sees it before its Commit, which replaces what had the key.
	CreateObject(ctx context.Context, key string) (Writer, error)
	// OpenObject reads an object. [ErrNotFound].
	OpenObject(ctx context.Context, key string) (io.ReadCloser, error)
	// ListObjects tells the objects whose keys begin with a prefix, by key, until told says false.
	ListObjects(ctx context.Context, prefix string, told func(Object) bool) error
	// ListFolders are the parts of keys between a prefix, which is empty or ends with a slash, and the next slash.
	ListFolders(ctx context.Context, prefix string) ([]string, error)
	// RemoveObject deletes an object. What is not there is no error.
	RemoveObject(ctx context.Context, key string) error
	// Check says what is wrong with the store.
	Check(ctx context.Context) error
}

// Cleaner is a store in which objects are found that never became whole, as who wrote them was killed. A bucket has a rule of its own for them.
type Cleaner interface {
	// RemoveUnfinished deletes what was written of objects below a prefix, which ends with a slash. Who writes one there at this moment is told so by its Commit.
	RemoveUnfinished(ctx context.Context, prefix string) error
}

// Writer writes an object.
type Writer interface {
	io.Writer
	// Commit makes the object whole. It takes as long as a request or two, however large the object is.
	Commit(ctx context.Context) error
	// Abort forgets what was written. After a Commit it does nothing.
	Abort()
}

// Name is what the key of an archived tree says. Keys are NAMESPACE/DAY/OWNER/TREE.NUMBER.jsonl.zst, so that trees are found by day, and all of an owner without
// looking at each. A tree has the same key however often it is archived.
type Name struct {
	Namespace string
	Day       string // YYYY-MM-DD, UTC, on which the tree was submitted
	Owner     string // see [OwnerOf]
	Tree      string // id of the root; with Cut its beginning
	Cut       bool
	Number    int64 // key of the tree: unlike an id it is never used twice
}

const (
	suffix    = ".jsonl.zst"
	dayForm   = "2006-01-02"
	longestID = 100 // bytes of an id in a key, as it is written there
)

// DayOf is the day of a time, as keys have it.
func DayOf(at time.Time) string { return at.UTC().Format(dayForm) }

// OwnerOf is how keys name a user of a namespace: by a digest, as ids of users may be addresses and have any length. Nobody is a dash.
func OwnerOf(namespace, user string) string {
	if user == "" {
		return "-"
	}
	sum := sha256.Sum256([]byte("taskgrove archive\x00" + namespace + "\x00" + user))
	return hex.EncodeToString(sum[:16])
}

// Key is the key of the object.
func (n Name) Key() string {
	return Folder(n.Namespace, n.Day, n.Owner) + escape(n.Tree) + "." + strconv.FormatInt(n.Number, 10) + suffix
}

// Folder is what the keys of a namespace begin with, or, with a day, those of a day, or, with an owner, those of an owner.
func Folder(namespace string, more ...string) string {
	parts := append([]string{escape(namespace)}, more...)
	return strings.Join(parts, "/") + "/"
}

// ParseKey reads a key. ok: it is one of an archived tree.
func ParseKey(key string) (n Name, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 {
		return n, false
	}
	file, ok := strings.CutSuffix(parts[3], suffix)
	dot := strings.LastIndexByte(file, '.')
	if !ok || dot < 0 {
		return n, false
	}
	number, err := strconv.ParseInt(file[dot+1:], 10, 64)
	if _, bad := time.Parse(dayForm, parts[1]); err != nil || bad != nil {
		return n, false
	}
	if parts[2] == "" || strings.ContainsFunc(parts[2], func(r rune) bool { return r > 127 || !plainByte(byte(r)) }) {
		return n, false
	}
	n = Name{Day: parts[1], Owner: parts[2], Number: number}
	if n.Namespace, _, ok = unescape(parts[0]); !ok {
		return n, false
	}
	n.Tree, n.Cut, ok = unescape(file[:dot])
	return n, ok
}

// plainByte reports whether a byte stands for itself in a key, on any file system.
func plainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// escape writes a text with the bytes that any store takes; a long one is cut, and ends with a plus sign.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if b.Len() > longestID-3 {
			return b.String() + "+"
		}
		if c := text[i]; plainByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func unescape(text string) (out string, cut, ok bool) {
	text, cut = strings.CutSuffix(text, "+")
	var b []byte
	for i := 0; i < len(text); i++ {
		if plainByte(text[i]) {
			b = append(b, text[i])
			continue
		}
		if text[i] != '%' { // a key is never a path to elsewhere
			return "", false, false
		}
		if i+2 >= len(text) {
			return "", false, false
		}
		c, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			return "", false, false
		}
		b, i = append(b, byte(c)), i+2
	}
	return string(b), cut, true
}

// IsOf reports whether a name may be that of the tree with an id: with a cut one, the object says.
func (n Name) IsOf(id string) bool {
	return n.Tree == id || n.Cut && strings.HasPrefix(id, n.Tree)
}
