package pg

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/sealed"
)

// Kinds of artifacts. Numbers are stored: never use one twice.
const (
	ArtifactFile     = 1 // a file that the task named, or left for the other steps of its flow's job
	ArtifactOutput   = 2 // what an executor made of an output that is over its bound
	ArtifactLog      = 3 // of an attempt that has ended
	ArtifactManifest = 4 // of what the steps of a flow's job share; it is found by its name
)

// The states of contents. Numbers are stored.
const (
	contentOpen  = 0 // it is being put
	contentWhole = 1
	contentGone  = 2 // to be deleted from the store
)

// The kinds of what is sealed of artifacts.
const (
	kindArtifact = "artifact" // name, media type, digest, data
	kindContent  = "content"  // the key of blocks
)

// Artifact is a reference to a content.
type Artifact struct {
	Task      dag.Key
	Attempt   int32
	Kind      int16
	Number    int32 // within attempt and kind
	Size      int64
	Name      string
	MediaType string
	Digest    []byte // SHA-256 of the content
	Created   time.Time
	TaskID    string // and the name of its task; not of one that [Store.FindArtifact] found
	TaskName  string
	Content   *Content // nil: the content is with the reference, see [Store.ArtifactData]
}

// Content is what is known of a content in the store of artifacts.
type Content struct {
	Row     int64
	ID      [16]byte
	Task    dag.Key // whose attempt put it
	Attempt int32
	Stored  bool // else it is being put
	Size    int64
	Block   int
	Digests []byte // of its blocks as they are stored, 32 bytes each
	Key     []byte // of its blocks; nil: they are not sealed
}

// NewContent is a content that is to be put.
type NewContent struct {
	ID      [16]byte
	Task    dag.Key
	Attempt int32
	Size    int64
	Block   int
	Key     []byte // of its blocks; nil: they are not sealed
	Late    bool   // its attempt may have ended
}

// ArtifactBounds are what one owner may have; 0: any number.
type ArtifactBounds struct{ Bytes, Number int64 }

// Errors of artifacts.
var (
	// ErrAttemptOver: the attempt is not open any more.
	ErrAttemptOver = errors.New("the attempt is over")
	// ErrArtifactBound: the owner of the tree has as much as may be.
	ErrArtifactBound = errors.New("the bound of artifacts of this user is reached")
)

// SealsValues reports whether what is written is sealed.
func (s *Store) SealsValues() bool { return s.seals != nil && s.seals.on.Load() }

// OpenContent begins to put a content. A repetition changes nothing. [ErrAttemptOver], [ErrArtifactBound].
func (s *Store) OpenContent(ctx context.Context, n NewContent, bounds ArtifactBounds) error {
	var envelope []byte
	if n.Key != nil {
		z, err := s.seals.sealer(ctx, n.Task.Tree())
		if err != nil {
			return err
		}
		if z == nil {
			return errors.New("a key of blocks, and values are not sealed")
		}
		envelope = z.seal(n.Task.Tree(), kindContent, n.Key)
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var open bool
	var had, number int64
	b := &pgx.Batch{} // one transaction: nobody else of the owner looks in between
	b.Queue(sql("LockArtifactsOwner"), n.Task)
	b.Queue(sql("OpenContent"), n.ID, n.Task, n.Attempt, n.Size, n.Block, envelope, n.Late, bounds.Bytes, bounds.Number).
		QueryRow(func(row pgx.Row) error { return row.Scan(&open, &had, &number) })
	err := s.pool.Send(ctx, b)
	switch {
	case err != nil:
		return fmt.Errorf("begin a content of task %d: %w", n.Task, err)
	case !open:
		return ErrAttemptOver
	case bounds.Bytes > 0 && had+n.Size > bounds.Bytes || bounds.Number > 0 && number >= bounds.Number:
		return fmt.Errorf("%w: %d bytes in %d artifacts, and %d more", ErrArtifactBound, had, number, n.Size)
	}
	return nil
}

// Content is a content by its id. [ErrNotFound].
func (s *Store) Content(ctx context.Context, id [16]byte) (*Content, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	c := &Content{ID: id}
	var state int16
	var envelope []byte
	err := s.pool.QueryRow(ctx, sql("ContentByID"), id).Scan(&c.Row, &c.Task, &c.Attempt, &state, &c.Size, &c.Block, &c.Digests, &envelope)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && state == 2 {
		return nil, ErrNotFound
	}
	if err == nil {
		c.Stored = state == 1
		err = s.seals.open(ctx, c.Task.Tree(), kindContent, envelope, &c.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("read a content: %w", err)
	}
	return c, nil
}

// tag is by what an artifact is found: the digest of its content, keyed where values are sealed, as who reads it could try contents that are likely.
func (z *sealer) tag(digest []byte) []byte {
	if z == nil {
		return digest
	}
	return keyedSum(z.digestOf, z.digestKey, digest)
}

// tags are all that a content may have.
func (x *seals) tags(ctx context.Context, digest []byte) ([][]byte, error) {
	all := [][]byte{digest}
	if !x.can() {
		return all, nil
	}
	keys, err := x.ring.Keys(ctx)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if keys[i].Namespace != sealed.Cluster {
			continue
		}
		key, err := x.ring.DerivedAt(ctx, keys[i].Number, sealed.LabelDigests)
		if err != nil {
			return nil, err
		}
		all = append(all, keyedSum(keys[i].Number, key, digest))
	}
	return all, nil
}

// AddArtifact adds a reference to a content that was put, in one transaction with the content's end: of the same content that is stored already the
// one that is there counts, and what was put is deleted later. digests are those of the blocks as they are stored. A repetition changes nothing.
// late: the attempt may have ended. [ErrAttemptOver]; [ErrNotFound]: the content is not there, or not that of the attempt.
func (s *Store) AddArtifact(ctx context.Context, a *Artifact, id [16]byte, root, digests []byte, late bool) error {
	z, err := s.seals.sealer(ctx, a.Task.Tree())
	if err != nil {
		return err
	}
	row := a.row(z, nil)
	for range 3 {
		err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
			return addArtifact(ctx, c, a, row, id, root, digests, late)
		})
		if twice, ok := errors.AsType[*pgconn.PgError](err); !ok || twice.Code != "23505" { // another has just stored the same
			break
		}
	}
	if err != nil {
		return fmt.Errorf("add an artifact of task %d: %w", a.Task, err)
	}
	return nil
}

// artifactRow is what of a reference is sealed, or is not.
type artifactRow struct {
	name, mediaType     string
	tag, data, envelope []byte
}

func (a *Artifact) row(z *sealer, data []byte) artifactRow {
	r := artifactRow{name: a.Name, mediaType: a.MediaType, tag: z.tag(a.Digest), data: data}
	if a.Kind == ArtifactManifest {
		r.name, r.tag = a.Name+"/"+hex.EncodeToString(a.Digest), z.tag(manifestTag(a.Name))
	}
	if z != nil {
		r.envelope = z.seal(a.Task.Tree(), kindArtifact, []byte(r.name), []byte(a.MediaType), a.Digest, data)
		r.name, r.mediaType, r.data = "", "", nil
	}
	return r
}

// manifestTag stands for the digest by what a manifest is found: it is looked for by its name. The digest of its content is kept behind that.
func manifestTag(name string) []byte {
	sum := sha256.Sum256([]byte("taskgrove: manifest of\x00" + name))
	return sum[:]
}

// manifest takes the name and the digest of a manifest apart.
func (a *Artifact) manifest() error {
	at := strings.LastIndexByte(a.Name, '/')
	digest, err := hex.DecodeString(a.Name[at+1:])
	if at < 0 || err != nil || len(digest) != sha256.Size {
		return fmt.Errorf("the manifest %.100q of task %d has no digest", a.Name, a.Task)
	}
	a.Name, a.Digest = a.Name[:at], digest
	return nil
}

func addArtifact(ctx context.Context, c *pgx.Conn, a *Artifact, r artifactRow, id [16]byte, root, digests []byte, late bool) error {
	var content, same int64
	var task dag.Key
	var attempt int32
	var state int16
	var size int64
	var block int
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue(sql("LockContent"), id).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&content, &task, &attempt, &state, &size, &block}, func() error { return nil })
		return err
	})
	b.Queue(sql("SameContent"), root).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&same}, func() error { return nil })
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if content == 0 || task != a.Task || attempt != a.Attempt || size != a.Size {
		return ErrNotFound
	}
	b = &pgx.Batch{}
	switch {
	case state == 1: // a repetition
	case state == 2: // a repetition, of what was put in vain
		if same == 0 {
			return ErrNotFound
		}
		content = same
	case same != 0:
		b.Queue(sql("ContentSpare"), content)
		content = same
	default:
		b.Queue(sql("ContentStored"), content, root, digests)
	}
	var open bool
	b.Queue(sql("AddArtifact"), a.Task, a.Attempt, a.Kind, a.Number, a.Size, r.name, r.mediaType, r.tag, content, nil, r.envelope, late, 0, 0).
		QueryRow(func(row pgx.Row) error { return row.Scan(&open, nil) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if !open {
		return ErrAttemptOver
	}
	_, err := c.Exec(ctx, "commit")
	return err
}

// AddInline adds a reference that has its content with it. A repetition changes nothing. [ErrAttemptOver], [ErrArtifactBound].
func (s *Store) AddInline(ctx context.Context, a *Artifact, data []byte, bounds ArtifactBounds) error {
	z, err := s.seals.sealer(ctx, a.Task.Tree())
	if err != nil {
		return err
	}
	r := a.row(z, data)
	if r.envelope == nil && r.data == nil {
		r.data = []byte{}
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var open, room bool
	b := &pgx.Batch{} // as in OpenContent
	b.Queue(sql("LockArtifactsOwner"), a.Task)
	b.Queue(sql("AddArtifact"), a.Task, a.Attempt, a.Kind, a.Number, a.Size, r.name, r.mediaType, r.tag, nil, r.data, r.envelope, false, bounds.Bytes, bounds.Number).
		QueryRow(func(row pgx.Row) error { return row.Scan(&open, &room) })
	err = s.pool.Send(ctx, b)
	switch {
	case err == nil && open && !room:
		return ErrArtifactBound
	case err != nil:
		return fmt.Errorf("add an artifact of task %d: %w", a.Task, err)
	case !open:
		return ErrAttemptOver
	}
	return nil
}

// ArchivedLog is the log of an attempt, compressed.
type ArchivedLog struct {
	Task    dag.Key
	Attempt int32
	Data    []byte
}

// AddLogs adds logs of attempts, which may have ended, in one transaction and one trip. The first copy stays; logs of owners over a bound of bytes
// (0: any number) are left out, and so are those of trees that are gone.
func (s *Store) AddLogs(ctx context.Context, logs []ArchivedLog, bound int64) error {
	var tasks []dag.Key
	var attempts []int32
	var sizes []int64
	var tags, data, envelopes [][]byte
	for i := range logs {
		l := &logs[i]
		z, err := s.seals.sealer(ctx, l.Task.Tree())
		if err != nil {
			return err
		}
		digest := sha256.Sum256(l.Data)
		r := (&Artifact{Task: l.Task, Digest: digest[:]}).row(z, l.Data)
		tasks, attempts, sizes = append(tasks, l.Task), append(attempts, l.Attempt), append(sizes, int64(len(l.Data)))
		tags, data, envelopes = append(tags, r.tag), append(data, r.data), append(envelopes, r.envelope)
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("AddLogs"), tasks, attempts, sizes, tags, data, envelopes, bound); err != nil {
		return fmt.Errorf("store the logs of %d attempts: %w", len(logs), err)
	}
	return nil
}

// scanArtifacts reads references, and opens what is sealed.
func (s *Store) scanArtifacts(ctx context.Context, rows pgx.Rows, before ...any) ([]Artifact, error) {
	var list []Artifact
	var envelopes [][2][]byte
	var a Artifact
	var id *[16]byte
	var block *int
	var digests, envelope, key []byte
	var inline bool
	var taskID, taskName *string
	_, err := pgx.ForEachRow(rows, append(before, &a.Task, &a.Attempt, &a.Kind, &a.Number, &a.Size, &a.Name, &a.MediaType, &a.Digest, &envelope, &a.Created, &id, &block, &digests, &key, &inline, &taskID, &taskName), func() error {
		one := a
		if taskID != nil && taskName != nil {
			one.TaskID, one.TaskName = *taskID, *taskName
		}
		one.Digest = bytes.Clone(a.Digest)
		if id != nil {
			one.Content = &Content{ID: *id, Task: a.Task, Attempt: a.Attempt, Stored: true, Size: a.Size, Block: *block, Digests: bytes.Clone(digests)}
		}
		list, envelopes = append(list, one), append(envelopes, [2][]byte{bytes.Clone(envelope), bytes.Clone(key)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		a := &list[i]
		var name, mediaType, data []byte
		if err := s.seals.open(ctx, a.Task.Tree(), kindArtifact, envelopes[i][0], &name, &mediaType, &a.Digest, &data); err != nil {
			return nil, err
		}
		if envelopes[i][0] != nil {
			a.Name, a.MediaType = string(name), string(mediaType)
		}
		if a.Kind == ArtifactManifest {
			if err := a.manifest(); err != nil {
				return nil, err
			}
		}
		if a.Content != nil {
			if err := s.seals.open(ctx, a.Task.Tree(), kindContent, envelopes[i][1], &a.Content.Key); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// ArtifactsOf gives artifacts of a task in the order of its attempts: of one attempt, or of all (0), of the kinds given.
func (s *Store) ArtifactsOf(ctx context.Context, k dag.Key, attempt int32, kinds []int16, limit int) ([]Artifact, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ArtifactsOf"), k, attempt, kinds, limit)
	var list []Artifact
	if err == nil {
		list, err = s.scanArtifacts(ctx, rows)
	}
	if err != nil {
		return nil, fmt.Errorf("read the artifacts of task %d: %w", k, err)
	}
	return list, nil
}

// ArtifactsIn gives artifacts of the tasks of the keys in [from, end), by task, attempt, kind and number, behind one.
func (s *Store) ArtifactsIn(ctx context.Context, from, end dag.Key, after *Artifact, kinds []int16, limit int) ([]Artifact, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ArtifactsIn"), from, end, after.Task, after.Attempt, after.Kind, after.Number, kinds, limit)
	var list []Artifact
	if err == nil {
		list, err = s.scanArtifacts(ctx, rows)
	}
	if err != nil {
		return nil, fmt.Errorf("read the artifacts of tasks from %d on: %w", from, err)
	}
	return list, nil
}

// FindArtifact looks for an artifact with a content that tasks of a tree may read: one of the tree, of revisions of its run before it, or of its owner. [ErrNotFound].
func (s *Store) FindArtifact(ctx context.Context, tree dag.TreeKey, digest []byte, size int64) (*Artifact, error) {
	tags, err := s.seals.tags(ctx, digest)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("FindArtifact"), tags, size, tree)
	var list []Artifact
	if err == nil {
		var turn int32
		list, err = s.scanArtifacts(ctx, rows, &turn)
	}
	if err != nil {
		return nil, fmt.Errorf("look for an artifact of tree %d: %w", tree, err)
	}
	if len(list) == 0 || !bytes.Equal(list[0].Digest, digest) {
		return nil, ErrNotFound
	}
	return &list[0], nil
}

// NewestManifest looks for the manifest of a name with the highest number that a successful attempt of a tree left, or else of the last revision of its run before it that has one. [ErrNotFound].
func (s *Store) NewestManifest(ctx context.Context, tree dag.TreeKey, name string) (*Artifact, error) {
	tags, err := s.seals.tags(ctx, manifestTag(name))
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("NewestManifest"), tags, tree)
	var list []Artifact
	if err == nil {
		list, err = s.scanArtifacts(ctx, rows)
	}
	if err != nil {
		return nil, fmt.Errorf("look for a manifest of tree %d: %w", tree, err)
	}
	if len(list) == 0 || list[0].Name != name {
		return nil, ErrNotFound
	}
	return &list[0], nil
}

// TreeEnd is how a tree is.
type TreeEnd struct{ Ended, Successful bool }

// TreeEnds is how trees are; those that are gone are not in it.
func (s *Store) TreeEnds(ctx context.Context, trees []dag.TreeKey) (map[dag.TreeKey]TreeEnd, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	ends := map[dag.TreeKey]TreeEnd{}
	rows, err := s.pool.Query(ctx, sql("TreeEnds"), trees)
	if err == nil {
		var key dag.TreeKey
		var end TreeEnd
		_, err = pgx.ForEachRow(rows, []any{&key, &end.Ended, &end.Successful}, func() error {
			ends[key] = end
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("look whether %d trees have ended: %w", len(trees), err)
	}
	return ends, nil
}

// ArtifactData gives the content of an artifact that has it with it. [ErrNotFound].
func (s *Store) ArtifactData(ctx context.Context, a *Artifact) ([]byte, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var data, envelope, name, mediaType, digest []byte
	err := s.pool.QueryRow(ctx, sql("ArtifactData"), a.Task, a.Attempt, a.Kind, a.Number).Scan(&data, &envelope)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err == nil {
		err = s.seals.open(ctx, a.Task.Tree(), kindArtifact, envelope, &name, &mediaType, &digest, &data)
	}
	if err != nil {
		return nil, fmt.Errorf("read an artifact of task %d: %w", a.Task, err)
	}
	return data, nil
}

// ArtifactUsage is what an owner has.
func (s *Store) ArtifactUsage(ctx context.Context, namespace dag.NamespaceKey, owner string) (size, number int64, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err = s.pool.QueryRow(ctx, sql("ArtifactUsage"), namespace, owner).Scan(&size, &number); err != nil {
		return 0, 0, fmt.Errorf("sum up artifacts: %w", err)
	}
	return size, number, nil
}

// SpareContents gives up to limit contents that are to be deleted from the store of artifacts, as nothing refers to them. They come again in five
// minutes, when nothing can be put into them any more that was on its way, until who has deleted them then says so by [Store.ForgetContents]: last are
// those which came before. looked is how many were looked at.
func (s *Store) SpareContents(ctx context.Context, limit int) (spare, last []Content, looked int, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var keys []int64
		spare, last = nil, nil
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("ContentsToLook"), limit).Query(func(rows pgx.Rows) (err error) {
			keys, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		looked = len(keys)
		if looked == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		b = &pgx.Batch{}
		b.Queue(sql("JudgeContents"), keys).Query(func(rows pgx.Rows) error {
			var one Content
			var state int16
			var again bool
			_, err := pgx.ForEachRow(rows, []any{&one.Row, &one.ID, &one.Size, &one.Block, &state, &again}, func() error {
				switch {
				case state == contentGone && again:
					last = append(last, one)
				case state == contentGone:
					spare = append(spare, one)
				}
				return nil
			})
			return err
		})
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, nil, 0, fmt.Errorf("look for contents that nothing refers to: %w", err)
	}
	return spare, last, looked, nil
}

// StoredContent is a content that is stored, and a task that has it.
type StoredContent struct {
	Content
	Has dag.Key // 0: none
}

// StoredContents gives stored contents by their rows, behind one.
func (s *Store) StoredContents(ctx context.Context, after int64, limit int) (list []StoredContent, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("StoredContents"), after, limit)
	if err != nil {
		return nil, fmt.Errorf("read contents: %w", err)
	}
	var envelopes [][]byte
	var one StoredContent
	var envelope []byte
	var has *int64
	if _, err := pgx.ForEachRow(rows, []any{&one.Row, &one.ID, &one.Size, &one.Block, &one.Digests, &envelope, &one.Task, &has}, func() error {
		next := one
		next.Stored, next.Digests, next.Has = true, bytes.Clone(one.Digests), 0
		if has != nil {
			next.Has = dag.Key(*has)
		}
		list, envelopes = append(list, next), append(envelopes, bytes.Clone(envelope))
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read contents: %w", err)
	}
	for i := range list {
		if err := s.seals.open(ctx, list[i].Task.Tree(), kindContent, envelopes[i], &list[i].Key); err != nil {
			return nil, fmt.Errorf("read contents: %w", err)
		}
	}
	return list, nil
}

// ArtifactStoreFacts tell whether contents are stored, and for how long some are overdue that may be deleted; 0: none is.
func (s *Store) ArtifactStoreFacts(ctx context.Context) (stored bool, overdue time.Duration, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var due *time.Time
	var now time.Time
	if err := s.pool.QueryRow(ctx, sql("ArtifactStoreRows")).Scan(&stored, &due, &now); err != nil {
		return false, 0, fmt.Errorf("look at contents: %w", err)
	}
	if due != nil {
		overdue = now.Sub(*due)
	}
	return stored, overdue, nil
}

// ForgetContents deletes the rows of contents that are gone from the store of artifacts.
func (s *Store) ForgetContents(ctx context.Context, contents []Content) error {
	rows := make([]int64, len(contents))
	for i := range contents {
		rows[i] = contents[i].Row
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("ForgetContents"), rows); err != nil {
		return fmt.Errorf("forget %d contents: %w", len(contents), err)
	}
	return nil
}

// VouchSecret is a key of the cluster for receipts of blocks, made of its secret.
func (s *Store) VouchSecret() []byte {
	h := sha256.New()
	h.Write([]byte("taskgrove: receipts of blocks\x00"))
	_ = binary.Write(h, binary.BigEndian, uint32(len(s.secret)))
	h.Write(s.secret)
	return h.Sum(nil)
}
