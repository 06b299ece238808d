package coordinator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/internal/attemptkey"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Files of tasks go through coordinators block by block, and any of them takes any block: it checks the attempt's token, stores the block, and answers
// with a receipt, which is a MAC over the block's digest. The request that makes the content an artifact brings all receipts. So a content's digests are
// those that coordinators have seen, whatever a worker says, nothing is kept in memory between requests, and no block is read again.

// ArtifactConfig is how files that tasks make are kept. Zero fields get their defaults.
type ArtifactConfig struct {
	Store artifact.Store // default: a stream in NATS
	// MaxBytes bounds one artifact; default 4 GiB, at most [artifact.MaxBlocks] blocks.
	MaxBytes int64
	// PerTask is how many one attempt may make; default 1000.
	PerTask int
	// UserBytes and UserNumber are how much the trees of one user may have together; default 100 GiB and a million; below 0: any.
	UserBytes, UserNumber int64
	// LogsOff: logs of attempts that end are not kept with their trees.
	LogsOff bool
}

func (a ArtifactConfig) orDefaults() ArtifactConfig {
	if a.MaxBytes == 0 {
		a.MaxBytes = 4 << 30
	}
	if a.PerTask == 0 {
		a.PerTask = 1000
	}
	if a.UserBytes == 0 {
		a.UserBytes = 100 << 30
	}
	if a.UserNumber == 0 {
		a.UserNumber = 1_000_000
	}
	return a
}

func (a ArtifactConfig) bounds() pg.ArtifactBounds {
	return pg.ArtifactBounds{Bytes: max(a.UserBytes, 0), Number: max(a.UserNumber, 0)}
}

// onStream is the store in NATS.
func onStream(conn *queue.Conn) artifact.Store {
	return artifact.OnBus(conn, artifact.BusErrors{NotFound: queue.ErrNoBlock, Changed: queue.ErrOtherBlock, Full: queue.ErrBlocksFull})
}

const (
	artifactsAtOnce = 16 // requests that are served at the same time
	artifactsBatch  = 64
	inlineBytes     = 8 << 10 // contents up to this size are with their reference
	digestBytes     = sha256.Size
	receiptBytes    = digestBytes + 16
	maxNameBytes    = 512
	maxMediaBytes   = 128
	maxLogArchive   = 256 << 10 // of one attempt in ArtifactLogs
	maxManifests    = 1 << 22   // one after the other
	maxJobBytes     = 64        // of the name of a manifest
	maxTreesAsked   = 100
)

// refusedError is why a request about files is refused for good: a word and a text.
type refusedError struct{ kind, text string }

func (e *refusedError) Error() string { return e.text }

func refuse(kind, format string, args ...any) error {
	return &refusedError{kind, fmt.Sprintf(format, args...)}
}

// The words for what goes wrong with files.
const (
	artifactInput   = "artifact_input"   // the request makes no sense
	artifactLarge   = "artifact_large"   // over the bound of one, or of an attempt
	artifactBound   = "artifact_bound"   // the user has as much as may be
	artifactFull    = "artifact_full"    // the store has no room
	artifactMissing = "artifact_missing" // there is none that the tree may read, or the store has lost it
)

// runArtifacts answers requests about files.
func (c *Coordinator) runArtifacts(ctx context.Context) error {
	return c.serve(ctx, queue.Artifact, artifactsBatch, func(ctx context.Context, batch []request) {
		var g errgroup.Group
		g.SetLimit(artifactsAtOnce)
		for _, r := range batch {
			g.Go(func() error {
				if data, err := proto.Marshal(c.artifactReply(ctx, r.data)); err == nil {
					r.reply(data)
				}
				return nil
			})
		}
		_ = g.Wait() // there are no errors
	})
}

// artifactReply answers one request.
func (c *Coordinator) artifactReply(ctx context.Context, data []byte) *workerv1.ArtifactReply {
	m := &workerv1.ArtifactRequest{}
	if proto.Unmarshal(data, m) != nil {
		return &workerv1.ArtifactReply{Error: "the request can't be read", Final: true, Kind: artifactInput}
	}
	k, n := dag.Key(m.GetGrant().GetAttempt().GetTask()), int32(m.GetGrant().GetAttempt().GetNumber())
	switch c.proof(ctx, k, n, m.GetGrant().GetToken()) {
	case workers.Proved:
	case workers.Unknown:
		return &workerv1.ArtifactReply{Error: "the token can't be checked now", Busy: true}
	default:
		return &workerv1.ArtifactReply{Error: "wrong token", Final: true, Kind: artifactInput}
	}
	key := c.attemptKey(k, n, m.Grant.Token)
	wasSealed := len(m.Sealed) > 0
	if err := envelope.OpenArtifact(key, m); err != nil {
		return &workerv1.ArtifactReply{Error: err.Error(), Final: true, Kind: artifactInput}
	}
	reply, err := c.artifactFor(ctx, k, n, m)
	if err != nil {
		return c.artifactRefusal(k, err)
	}
	if wasSealed && (reply.Found != nil || reply.Data != nil) {
		if err := envelope.SealArtifactReply(key, m.Grant.Attempt, m.Number, reply); err != nil {
			return &workerv1.ArtifactReply{Error: "the answer can't be sealed, try again"}
		}
	}
	return reply
}

// artifactRefusal puts an error into words for the worker. The text may be shown to users.
func (c *Coordinator) artifactRefusal(k dag.Key, err error) *workerv1.ArtifactReply {
	if bad, ok := errors.AsType[*refusedError](err); ok {
		return &workerv1.ArtifactReply{Error: bad.text, Final: true, Kind: bad.kind}
	}
	switch {
	case errors.Is(err, pg.ErrAttemptOver):
		return &workerv1.ArtifactReply{Error: "the attempt is over", Final: true, Kind: artifactInput}
	case errors.Is(err, pg.ErrArtifactBound):
		return &workerv1.ArtifactReply{Error: err.Error(), Final: true, Kind: artifactBound}
	case errors.Is(err, artifact.ErrFull):
		return &workerv1.ArtifactReply{Error: err.Error(), Final: true, Kind: artifactFull}
	case errors.Is(err, artifact.ErrNotFound), errors.Is(err, artifact.ErrCorrupt):
		c.log.Error("the store of artifacts has lost a content", "task_key", int64(k), "error", err)
		return &workerv1.ArtifactReply{Error: "the store of artifacts has lost the content", Final: true, Kind: artifactMissing}
	}
	c.log.Warn("a request about a file failed", "task_key", int64(k), "error", err)
	away := pg.Unreachable(err)
	return &workerv1.ArtifactReply{Error: "not done, try again", Busy: away}
}

func (c *Coordinator) artifactFor(ctx context.Context, k dag.Key, n int32, m *workerv1.ArtifactRequest) (*workerv1.ArtifactReply, error) {
	switch ask := m.GetAsk().GetAsk().(type) {
	case *workerv1.ArtifactAsk_Open:
		return &workerv1.ArtifactReply{}, c.openContent(ctx, k, n, ask.Open)
	case *workerv1.ArtifactAsk_Put:
		receipt, err := c.putBlock(ctx, k, n, ask.Put)
		return &workerv1.ArtifactReply{Receipt: receipt}, err
	case *workerv1.ArtifactAsk_Keep:
		return &workerv1.ArtifactReply{}, c.keepArtifact(ctx, k, n, ask.Keep)
	case *workerv1.ArtifactAsk_Find:
		found, err := c.findArtifact(ctx, k, n, ask.Find)
		return &workerv1.ArtifactReply{Found: found}, err
	case *workerv1.ArtifactAsk_Get:
		data, err := c.getBlock(ctx, k, n, ask.Get)
		return &workerv1.ArtifactReply{Data: data}, err
	case *workerv1.ArtifactAsk_Newest:
		found, err := c.newestManifest(ctx, k, n, ask.Newest)
		return &workerv1.ArtifactReply{Found: found}, err
	case *workerv1.ArtifactAsk_Trees:
		trees, err := c.treesOf(ctx, ask.Trees)
		return &workerv1.ArtifactReply{Trees: trees}, err
	case *workerv1.ArtifactAsk_Logs:
		return &workerv1.ArtifactReply{}, c.keepLogs(ctx, ask.Logs)
	}
	return nil, refuse(artifactInput, "the request asks for nothing that this coordinator knows")
}

func contentID(raw []byte) (id artifact.ID, err error) {
	if len(raw) != len(id) {
		return id, refuse(artifactInput, "a content has an id of %d bytes", len(id))
	}
	copy(id[:], raw)
	return id, nil
}

// openContent makes the row of a content before anything of it is in the store: so all that is in the store has a row, and what is left behind is found.
func (c *Coordinator) openContent(ctx context.Context, k dag.Key, n int32, m *workerv1.ArtifactOpen) error {
	id, err := contentID(m.Id)
	if err != nil {
		return err
	}
	if m.Size > uint64(c.cfg.Artifacts.MaxBytes) {
		return refuse(artifactLarge, "it has %d bytes, and an artifact has at most %d", m.Size, c.cfg.Artifacts.MaxBytes)
	}
	if err := artifact.Shape(int64(m.Size), int(m.Block)); err != nil {
		return refuse(artifactLarge, "%v", err)
	}
	content := pg.NewContent{ID: id, Task: k, Attempt: n, Size: int64(m.Size), Block: int(m.Block), Late: m.Log}
	if c.store.SealsValues() {
		content.Key = make([]byte, 32)
		_, _ = rand.Read(content.Key)
	}
	return c.store.OpenContent(ctx, content, c.cfg.Artifacts.bounds())
}

// putBlock stores a block, and gives the receipt for it.
func (c *Coordinator) putBlock(ctx context.Context, k dag.Key, n int32, m *workerv1.ArtifactBlock) ([]byte, error) {
	id, err := contentID(m.Id)
	if err != nil {
		return nil, err
	}
	content, err := c.contents.get(ctx, c.store, id, false)
	if err != nil {
		return nil, err
	}
	if content.Task != k || content.Attempt != n {
		return nil, refuse(artifactInput, "the content is another attempt's")
	}
	if blocks := artifact.Blocks(content.Size, content.Block); int64(m.Index) >= int64(blocks) || len(m.Data) != artifact.LengthOf(content.Size, content.Block, int(m.Index)) {
		return nil, refuse(artifactInput, "block %d of %d has %d bytes", m.Index, blocks, len(m.Data))
	}
	data, err := sealBlock(content, int(m.Index), m.Data)
	if err != nil {
		return nil, err
	}
	err = c.artifacts.Put(ctx, id, int(m.Index), data)
	if errors.Is(err, artifact.ErrChanged) && content.Key != nil { // the same block, sealed with another nonce, is there
		if data, err = c.artifacts.Get(ctx, id, int(m.Index)); err == nil {
			var plain []byte
			if plain, err = openBlock(content, int(m.Index), data); err == nil && string(plain) != string(m.Data) {
				err = artifact.ErrChanged
			}
		}
	}
	if errors.Is(err, artifact.ErrChanged) {
		return nil, refuse(artifactInput, "block %d was put before, with another content", m.Index)
	}
	if err != nil {
		return nil, err
	}
	failpoint.Hit("coordinator.after-artifact-block")
	c.meter.artifactBytes(ctx, "in", len(m.Data))
	digest := artifact.Sum(data)
	return append(digest[:], c.blockReceipt(id, m.Index, digest)...), nil
}

// blockReceipt proves that a coordinator stored a block.
func (c *Coordinator) blockReceipt(id artifact.ID, index uint32, digest artifact.Digest) []byte {
	h := hmac.New(sha256.New, c.vouch)
	h.Write([]byte("block\x00"))
	h.Write(id[:])
	h.Write(binary.BigEndian.AppendUint32(nil, index))
	h.Write(digest[:])
	return h.Sum(nil)[:receiptBytes-digestBytes]
}

func sealBlock(content *pg.Content, index int, data []byte) ([]byte, error) {
	if content.Key == nil {
		return data, nil
	}
	key, err := attemptkey.New(0, content.Key)
	if err != nil {
		return nil, err
	}
	return key.Seal(blockPlace(content, index), data), nil
}

func openBlock(content *pg.Content, index int, data []byte) ([]byte, error) {
	if content.Key == nil {
		return data, nil
	}
	key, err := attemptkey.New(0, content.Key)
	if err == nil {
		data, err = key.Open(blockPlace(content, index), data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", artifact.ErrCorrupt, err)
	}
	return data, nil
}

func blockPlace(content *pg.Content, index int) attemptkey.Place {
	return attemptkey.Place{Kind: attemptkey.Block, Index: uint64(index), Of: uint64(artifact.Blocks(content.Size, content.Block))}
}

// keepArtifact makes a content an artifact of the attempt.
func (c *Coordinator) keepArtifact(ctx context.Context, k dag.Key, n int32, m *workerv1.ArtifactKeep) error {
	a := &pg.Artifact{Task: k, Attempt: n, Kind: int16(m.Kind), Number: int32(m.Number), Name: m.Name, MediaType: m.MediaType, Digest: m.Sha256, Size: int64(len(m.Data))}
	if err := c.checkArtifact(a, m); err != nil {
		return err
	}
	if len(m.Id) == 0 {
		if len(m.Data) > inlineBytes || artifact.Sum(m.Data) != artifact.Digest(m.Sha256) {
			return refuse(artifactInput, "a content of %d bytes is not with its reference, or has another digest", len(m.Data))
		}
		return c.store.AddInline(ctx, a, m.Data, c.cfg.Artifacts.bounds())
	}
	id, err := contentID(m.Id)
	if err != nil {
		return err
	}
	content, err := c.contents.get(ctx, c.store, id, false)
	if err != nil {
		return c.unlessKept(ctx, a, err)
	}
	if content.Task != k || content.Attempt != n || len(m.Receipts) != artifact.Blocks(content.Size, content.Block) {
		return refuse(artifactInput, "the content is another attempt's, or not whole: there are receipts for %d blocks", len(m.Receipts))
	}
	digests := make([]artifact.Digest, len(m.Receipts))
	flat := make([]byte, 0, len(m.Receipts)*digestBytes)
	for i, r := range m.Receipts {
		if len(r) != receiptBytes {
			return refuse(artifactInput, "the receipt for block %d can't be read", i)
		}
		digests[i] = artifact.Digest(r[:digestBytes])
		if !hmac.Equal(r[digestBytes:], c.blockReceipt(id, uint32(i), digests[i])) {
			return refuse(artifactInput, "the receipt for block %d is none", i)
		}
		flat = append(flat, digests[i][:]...)
	}
	a.Size = content.Size
	root := artifact.Root(content.Size, content.Block, digests)
	failpoint.Hit("coordinator.before-artifact-commit")
	err = c.store.AddArtifact(ctx, a, id, root[:], flat, a.Kind == pg.ArtifactLog)
	failpoint.Hit("coordinator.after-artifact-commit")
	if errors.Is(err, pg.ErrNotFound) {
		return c.unlessKept(ctx, a, refuse(artifactMissing, "the content is not there any more"))
	}
	return err
}

// unlessKept is why a reference was refused, or nil if it is there. The first answer may have been lost, and what was put is dropped where the same was
// stored already.
func (c *Coordinator) unlessKept(ctx context.Context, a *pg.Artifact, refused error) error {
	there, err := c.store.ArtifactsOf(ctx, a.Task, a.Attempt, []int16{a.Kind}, artifactsOfTask)
	if err == nil && slices.ContainsFunc(there, func(is pg.Artifact) bool { return is.Number == a.Number && bytes.Equal(is.Digest, a.Digest) }) {
		return nil
	}
	return refused
}

// checkArtifact looks at what a reference says.
func (c *Coordinator) checkArtifact(a *pg.Artifact, m *workerv1.ArtifactKeep) error {
	switch {
	case len(m.Sha256) != digestBytes:
		return refuse(artifactInput, "a digest of %d bytes", len(m.Sha256))
	case m.Kind < pg.ArtifactFile || m.Kind > pg.ArtifactManifest:
		return refuse(artifactInput, "an artifact of kind %d", m.Kind)
	case m.Kind == pg.ArtifactManifest && (m.Number > maxManifests || strings.Contains(a.Name, "/") || len(a.Name) > maxJobBytes):
		return refuse(artifactInput, "manifest %d of %.100q", m.Number, a.Name)
	case m.Kind != pg.ArtifactManifest && m.Number >= uint32(c.cfg.Artifacts.PerTask):
		return refuse(artifactLarge, "an attempt makes at most %d artifacts", c.cfg.Artifacts.PerTask)
	case a.Kind != pg.ArtifactLog && !validName(a.Name):
		return refuse(artifactInput, "%.100q is no name of an artifact: a path without . and .., of %d bytes at most", a.Name, maxNameBytes)
	case len(a.MediaType) > maxMediaBytes || strings.ContainsFunc(a.MediaType, func(r rune) bool { return r < ' ' || r > '~' }):
		return refuse(artifactInput, "%.100q is no media type", a.MediaType)
	}
	return nil
}

// validName reports whether a name is a clean relative path of printable characters.
func validName(name string) bool {
	return name != "" && len(name) <= maxNameBytes && utf8.ValidString(name) && path.Clean(name) == name && name[0] != '/' && name != "." &&
		!slices.Contains(strings.Split(name, "/"), "..") && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == '\\' })
}

// keepLogs stores logs of attempts, each with a token of its own.
func (c *Coordinator) keepLogs(ctx context.Context, m *workerv1.ArtifactLogs) error {
	if c.cfg.Artifacts.LogsOff {
		return nil
	}
	var logs []pg.ArchivedLog
	for _, l := range m.Logs {
		k, n := dag.Key(l.GetAttempt().GetTask()), int32(l.GetAttempt().GetNumber())
		if c.proof(ctx, k, n, l.Token) != workers.Proved || envelope.OpenArchivedLog(c.attemptKey(k, n, l.Token), l) != nil || len(l.Data) > maxLogArchive || len(l.Data) == 0 {
			continue
		}
		logs = append(logs, pg.ArchivedLog{Task: k, Attempt: n, Data: l.Data})
	}
	if len(logs) == 0 {
		return nil
	}
	failpoint.Hit("coordinator.before-logs-commit")
	return c.store.AddLogs(ctx, logs, c.cfg.Artifacts.bounds().Bytes)
}

// contents remembers rows of contents that are being put or read.
type contents struct {
	mu   sync.Mutex
	kept map[artifact.ID]keptContent
}

type keptContent struct {
	*pg.Content
	until time.Time
}

const (
	contentsKept = 1024
	contentFor   = 30 * time.Second
)

// get gives the row of a content, which may be that of a while ago; stored: it must have come since the content was.
func (c *contents) get(ctx context.Context, store *pg.Store, id artifact.ID, stored bool) (*pg.Content, error) {
	now := time.Now()
	c.mu.Lock()
	is, ok := c.kept[id]
	c.mu.Unlock()
	if ok && is.until.After(now) && (is.Stored || !stored) {
		return is.Content, nil
	}
	content, err := store.Content(ctx, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, refuse(artifactMissing, "there is no such content, or no more")
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= contentsKept || c.kept == nil {
		c.kept = map[artifact.ID]keptContent{}
	}
	c.kept[id] = keptContent{content, now.Add(contentFor)}
	return content, nil
}
