package pg

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of bundles.
const (
	MaxBundles      = 10_000    // versions of a namespace
	MaxBundleBytes  = 100 << 30 // contents of a namespace
	keptBundles     = 10        // versions of a bundle that no run names
	maxBundlesGone  = 100       // that are deleted at once
	maxBundlesBlobs = 1000      // likewise, contents
)

// Errors of bundles.
var (
	ErrTooManyBundles = fmt.Errorf("there are %d versions of bundles in the namespace already, and no room for more", MaxBundles)
	ErrBundlesFull    = fmt.Errorf("the bundles of the namespace have %d bytes together, and no room for more", int64(MaxBundleBytes))
)

// Bundle is a version of a bundle.
type Bundle struct {
	Key                 int64
	Namespace           dag.NamespaceKey
	ID                  string
	Fingerprint, Digest string // in hex
	UserID              string // whose it is; empty: nobody's
	Body                []byte // JSON: what its manifest says
	Files               int32
	Bytes               int64
	CreatedBy           string
	CreatedAt           time.Time
	AppliedAt           time.Time // the latest counts

	sealed []byte
}

// BundleFile is a file of a version. The one without a path is the list of all others.
type BundleFile struct {
	Path   string
	SHA256 []byte
	Size   int64
}

// BundleContent is the content of a file.
type BundleContent struct {
	Size    int64
	Data    []byte
	Content *Content // nil: it is Data
}

func scanBundle(row pgx.CollectableRow) (*Bundle, error) {
	b := &Bundle{}
	return b, row.Scan(&b.Key, &b.Namespace, &b.ID, &b.Fingerprint, &b.Digest, &b.UserID, &b.Body, &b.sealed, &b.Files, &b.Bytes, &b.CreatedBy, &b.CreatedAt, &b.AppliedAt)
}

// bundleTask stands for the task of contents of a namespace's bundles.
func bundleTask(namespace dag.NamespaceKey) dag.Key { return namespaceItself(namespace).Key(0) }

// HasBundleFile reports whether a user has put a content, and keeps it for an hour. An empty user stands for all who may see every bundle.
func (s *Store) HasBundleFile(ctx context.Context, namespace dag.NamespaceKey, user string, digest [sha256.Size]byte) (bool, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var key int64
	err := s.pool.QueryRow(ctx, sql("TouchBundleBlob"), namespace, digest[:], user).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// BundleRoom is [ErrBundlesFull] if there is no room for so many bytes.
func (s *Store) BundleRoom(ctx context.Context, namespace dag.NamespaceKey, size int64) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	had := int64(0)
	err := s.pool.QueryRow(ctx, sql("BundleBytes"), namespace).Scan(&had)
	if err == nil && had+size > MaxBundleBytes {
		err = ErrBundlesFull
	}
	return err
}

// PutBundleData keeps a content in the database, put by a user, for an hour if nothing comes to name it.
func (s *Store) PutBundleData(ctx context.Context, namespace dag.NamespaceKey, user string, data []byte) error {
	sum := sha256.Sum256(data)
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	plain, envelope, err := s.sealAs(ctx, kindBundle, namespace, body)
	if err != nil {
		return err
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var other *int64
	if err := s.pool.QueryRow(ctx, sql("PutBundleBlob"), namespace, sum[:], len(data), nil, plain, envelope, user).Scan(&other); err != nil {
		return fmt.Errorf("store a file of a bundle: %w", err)
	}
	return nil
}

// OpenBundleContent begins to put a content of a bundle into the store of artifacts. key is that of its blocks; nil: they are not sealed. What is left open is deleted after an hour.
func (s *Store) OpenBundleContent(ctx context.Context, namespace dag.NamespaceKey, id [16]byte, size int64, block int, key []byte) (*Content, error) {
	task := bundleTask(namespace)
	var envelope []byte
	if key != nil {
		z, err := s.seals.sealer(ctx, task.Tree())
		if err != nil {
			return nil, err
		}
		if z == nil {
			return nil, errors.New("a key of blocks, and values are not sealed")
		}
		envelope = z.seal(task.Tree(), kindContent, key)
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("OpenBundleContent"), id, task, namespace, size, block, envelope); err != nil {
		return nil, fmt.Errorf("begin a content of a bundle: %w", err)
	}
	return &Content{ID: id, Task: task, Size: size, Block: block, Key: key}, nil
}

// PutBundleContent keeps a content of a user whose blocks were put, in one transaction: the same one that is there already counts, and what was put is deleted later.
func (s *Store) PutBundleContent(ctx context.Context, namespace dag.NamespaceKey, user string, content *Content, digest [sha256.Size]byte, root, digests []byte) error {
	err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var key, same int64
		var task dag.Key
		var attempt int32
		var state int16
		var size int64
		var block int
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockContent"), content.ID).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&key, &task, &attempt, &state, &size, &block}, func() error { return nil })
			return err
		})
		b.Queue(sql("SameContent"), root).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&same}, func() error { return nil })
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if key == 0 || task != content.Task || state != contentOpen {
			return ErrNotFound
		}
		b = &pgx.Batch{}
		mine := key
		if same != 0 {
			b.Queue(sql("ContentSpare"), key)
			mine = same
		} else {
			b.Queue(sql("ContentStored"), key, root, digests)
		}
		var counts *int64
		b.Queue(sql("PutBundleBlob"), namespace, digest[:], content.Size, mine, nil, nil, user).QueryRow(func(row pgx.Row) error { return row.Scan(&counts) })
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if counts == nil || *counts != mine {
			if _, err := c.Exec(ctx, sql("SpareBundleContent"), mine); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
	if err != nil {
		return fmt.Errorf("store a file of a bundle: %w", err)
	}
	return nil
}

// ApplyBundle stores a version of a bundle, the latest then, which gets what is known of it; the same one stays as it is. files are all, with the list of them. missing are those whose
// content is not there: nothing is stored then. only, unless it is empty, is the only user whose it may be, and who must have put all contents. [ErrTooManyBundles]; [ErrOthers]; *[dag.LevelError].
func (s *Store) ApplyBundle(ctx context.Context, namespace dag.NamespaceKey, v *Bundle, files []BundleFile, only string) (fresh bool, missing []int, err error) {
	plain, envelope, err := s.sealAs(ctx, kindBundle, namespace, v.Body)
	if err != nil {
		return false, nil, err
	}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		missing = nil
		var sums [][]byte
		for i := range files {
			sums = append(sums, files[i].SHA256)
		}
		type blob struct{ key, size int64 }
		blobs := map[string]blob{}
		versions, others := 0, false
		b := &pgx.Batch{}
		begin(b, c)
		queueCoordinators(b, dag.RegistryLevel, s.version)
		b.Queue(sql("LockBundles"), namespace)
		b.Queue(sql("OwnerOfBundle"), namespace, v.ID).Query(func(rows pgx.Rows) error {
			owner := ""
			_, err := pgx.ForEachRow(rows, []any{&owner}, func() error {
				others = only != "" && owner != only
				return nil
			})
			return err
		})
		b.Queue(sql("CountBundles"), namespace, MaxBundles).QueryRow(func(row pgx.Row) error { return row.Scan(&versions) })
		b.Queue(sql("HoldBundleBlobs"), namespace, sums, only).Query(func(rows pgx.Rows) error {
			var one blob
			var sum []byte
			_, err := pgx.ForEachRow(rows, []any{&one.key, &sum, &one.size}, func() error {
				blobs[string(sum)] = one
				return nil
			})
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return levelRefusal(err, s.editLevels(), dag.RegistryLevel)
		}
		var paths []string
		var keys []int64
		for i, f := range files {
			has, is := blobs[string(f.SHA256)]
			if !is || has.size != f.Size {
				missing = append(missing, i)
			}
			paths, keys = append(paths, f.Path), append(keys, has.key)
		}
		switch {
		case others:
			return ErrOthers
		case len(missing) > 0: // those that are there are kept for an hour
			_, err := c.Exec(ctx, "commit")
			return err
		case versions >= MaxBundles:
			return ErrTooManyBundles
		}
		if err := c.QueryRow(ctx, sql("ApplyBundle"), namespace, v.ID, v.Fingerprint, v.Digest, v.UserID, plain, envelope, v.Files, v.Bytes, v.CreatedBy).Scan(&v.Key, &fresh); err != nil {
			return err
		}
		if fresh {
			if _, err := c.Exec(ctx, sql("InsertBundleFiles"), v.Key, paths, keys); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
	if err != nil {
		return false, nil, fmt.Errorf("store a bundle: %w", err)
	}
	return fresh, missing, nil
}

// HoldBundle finds a version of a bundle by its digest and fingerprint, each of which may be empty, or the latest; it is kept for an hour. [ErrNotFound].
func (s *Store) HoldBundle(ctx context.Context, namespace dag.NamespaceKey, id, digest, fingerprint string) (*Bundle, error) {
	return s.oneBundle(ctx, "HoldBundle", namespace, id, digest, fingerprint)
}

// Bundle is a version of a bundle. [ErrNotFound].
func (s *Store) Bundle(ctx context.Context, key int64) (*Bundle, error) {
	return s.oneBundle(ctx, "BundleByKey", key)
}

func (s *Store) oneBundle(ctx context.Context, statement string, args ...any) (*Bundle, error) {
	list, err := s.readBundles(ctx, statement, args...)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Bundles lists versions of bundles behind one, by id, the latest first; of a bundle and of a user, unless they are empty.
func (s *Store) Bundles(ctx context.Context, namespace dag.NamespaceKey, after *Bundle, id, user string, limit int) ([]*Bundle, error) {
	return s.readBundles(ctx, "BundlesBehind", namespace, after.ID, after.AppliedAt, after.Key, id, user, limit)
}

func (s *Store) readBundles(ctx context.Context, statement string, args ...any) ([]*Bundle, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read bundles: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanBundle)
	if err != nil {
		return nil, fmt.Errorf("read bundles: %w", err)
	}
	for _, b := range list {
		if err := s.seals.open(ctx, namespaceItself(b.Namespace), kindBundle, b.sealed, &b.Body); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// OwnerOfBundle is whose a bundle is; empty: nobody's. [ErrNotFound].
func (s *Store) OwnerOfBundle(ctx context.Context, namespace dag.NamespaceKey, id string) (user string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	return user, orNone(s.pool.QueryRow(ctx, sql("OwnerOfBundle"), namespace, id).Scan(&user), ErrNotFound)
}

// FlowOfBundle is a registered flow that names a bundle; empty: none does.
func (s *Store) FlowOfBundle(ctx context.Context, namespace dag.NamespaceKey, id string) (flow string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("FlowsOfBundle"), namespace, id).Scan(&flow)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return flow, err
}

// DeleteBundle deletes all versions of a bundle, if it is the user's only, unless that is empty: those that runs name go with the last of these. [ErrNotFound].
func (s *Store) DeleteBundle(ctx context.Context, namespace dag.NamespaceKey, id, only string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("DeleteBundle"), namespace, id, only)
	if err != nil {
		return fmt.Errorf("delete a bundle: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return nil
}

// BundleFile is the content of a file of a version. [ErrNotFound].
func (s *Store) BundleFile(ctx context.Context, key int64, path string) (*BundleContent, error) {
	return s.bundleContent(ctx, "BundleFile", key, path)
}

// BundleFileOf is a content of the bundle that the run of a flow pins which a tree is. [ErrNotFound].
func (s *Store) BundleFileOf(ctx context.Context, tree dag.TreeKey, digest []byte, size int64) (*BundleContent, error) {
	return s.bundleContent(ctx, "BundleFileOfTree", tree, digest, size)
}

func (s *Store) bundleContent(ctx context.Context, statement string, args ...any) (*BundleContent, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	out := &BundleContent{}
	var namespace dag.NamespaceKey
	var body, envelope, digests, key []byte
	var id *[16]byte
	var block *int
	var task *dag.Key
	if err := s.pool.QueryRow(ctx, sql(statement), args...).Scan(&namespace, &out.Size, &body, &envelope, &id, &block, &digests, &key, &task); err != nil {
		return nil, orNone(err, ErrNotFound)
	}
	if id != nil {
		out.Content = &Content{ID: *id, Task: *task, Stored: true, Size: out.Size, Block: *block, Digests: bytes.Clone(digests)}
		return out, s.seals.open(ctx, task.Tree(), kindContent, key, &out.Content.Key)
	}
	if err := s.seals.open(ctx, namespaceItself(namespace), kindBundle, envelope, &body); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &out.Data); err != nil {
		return nil, fmt.Errorf("read a file of a bundle: %w", err)
	}
	return out, nil
}

// ForgetBundles deletes versions of bundles, and contents, that nothing needs any more, a bounded number, and reports whether there may be more.
func (s *Store) ForgetBundles(ctx context.Context) (more bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	versions, blobs := 0, 0
	if err = s.pool.QueryRow(ctx, sql("ForgetBundles"), maxBundlesGone, keptBundles).Scan(&versions); err == nil {
		err = s.pool.QueryRow(ctx, sql("ForgetBundleBlobs"), maxBundlesBlobs).Scan(&blobs)
	}
	if err != nil {
		return false, fmt.Errorf("delete bundles: %w", err)
	}
	return versions == maxBundlesGone || blobs == maxBundlesBlobs, nil
}
