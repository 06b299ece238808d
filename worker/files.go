package worker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Files of tasks go to coordinators in blocks, and come from them, as parts of large results do: with at most [partsInFlight] requests of the whole
// process at a time. No worker reaches the store itself, so it can neither read what its attempts may not, nor change what is there.

const (
	inlineFileBytes = 8 << 10 // a content up to this size travels with its reference
	readAhead       = 4       // blocks that are asked for before they are read
	fileOutput      = 2       // kinds of artifacts
	fileNamed       = 1
	fileLog         = 3
	fileManifest    = 4
	maxOutputBytes  = 4 << 30
)

// files are the files of one attempt. They implement [executors.Files].
type files struct {
	w *Worker
	a *attempt

	mu      sync.Mutex
	numbers [4]uint32 // of the next artifact of each kind
	saved   []executors.FileRef
}

// list are the files that the task named and that are saved.
func (f *files) list() []executors.FileRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.saved)
}

func (f *files) next(kind int) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.numbers[kind]++
	return f.numbers[kind] - 1
}

// MaxOutput implements [executors.Files].
func (f *files) MaxOutput() int64 { return maxOutputBytes }

// Save implements [executors.Files].
func (f *files) Save(ctx context.Context, file executors.SavedFile, content io.Reader) (executors.FileRef, error) {
	kind := fileNamed
	if file.Output {
		kind = fileOutput
	}
	if r := f.a.out.redact(); r.Shows(file.Name) {
		return executors.FileRef{}, executors.Permanent(fmt.Errorf("save artifact %q: its name has a secret in it, and names are stored as they are", r.Text(file.Name)))
	}
	keep := &workerv1.ArtifactKeep{Name: file.Name, MediaType: cmp.Or(file.MediaType, "application/octet-stream"), Kind: uint32(kind), Number: f.next(kind)}
	if redactor := f.a.out.redact(); file.Output && redactor != nil {
		plain, err := withoutSecrets(redactor, content, file.Size)
		if err != nil {
			return executors.FileRef{}, fmt.Errorf("save artifact %q: %w", file.Name, err)
		}
		defer func() { _ = plain.Close() }()
		content, file.Size = plain, plain.size
	}
	ref := executors.FileRef{Artifact: keep.Name, Size: file.Size, MediaType: keep.MediaType}
	sum := sha256.New()
	err := f.w.put(ctx, f.a, keep, file.Size, io.TeeReader(content, sum), sum)
	if err != nil {
		return ref, fmt.Errorf("save artifact %q of %d bytes: %w", file.Name, file.Size, err)
	}
	ref.SHA256 = hex.EncodeToString(keep.Sha256)
	if !file.Output && !file.Unlisted {
		f.mu.Lock()
		f.saved = append(f.saved, ref)
		f.mu.Unlock()
	}
	return ref, nil
}

// cleaned is an output without the attempt's secrets, in a file that is gone when it is closed.
type cleaned struct {
	*os.File
	size int64
}

// withoutSecrets takes secrets out of an output that does not go through the result, which would be without them.
func withoutSecrets(redactor *secrets.Redactor, output io.Reader, size int64) (*cleaned, error) {
	output = io.LimitReader(output, size)
	f, err := os.CreateTemp("", "taskgrove-output-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // it is reached by its handle
	c := &cleaned{File: f}
	text, part, read := redactor.Stream(), make([]byte, 64<<10), int64(0)
	write := func(s string) error {
		n, err := f.WriteString(s)
		c.size += int64(n)
		return err
	}
	for err == nil {
		var n int
		n, err = output.Read(part)
		read += int64(n)
		err = cmp.Or(write(text.Write(string(part[:n]))), err)
	}
	if errors.Is(err, io.EOF) {
		err = write(text.Rest())
	}
	if err == nil && read != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return c, nil
}

// put sends a content, and makes it an artifact. sum has what was read of it.
func (w *Worker) put(ctx context.Context, a *attempt, keep *workerv1.ArtifactKeep, size int64, content io.Reader, sum hash.Hash) error {
	if size <= inlineFileBytes {
		keep.Data = make([]byte, size)
		if _, err := io.ReadFull(content, keep.Data); err != nil {
			return fmt.Errorf("read it: %w", err)
		}
	} else if err := w.putBlocks(ctx, a, keep, size, content); err != nil {
		return err
	}
	keep.Sha256 = sum.Sum(nil)
	failpoint.Hit("worker.before-artifact-keep")
	_, err := w.askFiles(ctx, a, &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Keep{Keep: keep}})
	failpoint.Hit("worker.after-artifact-keep")
	return err
}

// blockBytes is how large blocks are that this NATS carries, sealed too.
func (w *Worker) blockBytes() int { return min(artifact.BlockBytes, w.conn.MaxPayload()*3/4) }

// sizeFault is why a content can't be kept in blocks of a size. Its kind is that of what a coordinator refuses for its size, which such a content does not get to.
func sizeFault(size int64, block int) error {
	if err := artifact.Shape(size, block); err != nil {
		return executors.WithKind(executors.Permanent(err), kindArtifactLarge)
	}
	return nil
}

// kindArtifactLarge is the kind of errors of contents that are too large.
const kindArtifactLarge = "artifact_large"

func (w *Worker) putBlocks(ctx context.Context, a *attempt, keep *workerv1.ArtifactKeep, size int64, content io.Reader) error {
	block := w.blockBytes()
	if err := sizeFault(size, block); err != nil {
		return err
	}
	id := artifact.NewID()
	open := &workerv1.ArtifactOpen{Id: id[:], Size: uint64(size), Block: uint32(block), Log: keep.Kind == fileLog}
	if _, err := w.askFiles(ctx, a, &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Open{Open: open}}); err != nil {
		return err
	}
	keep.Id, keep.Receipts = id[:], make([][]byte, artifact.Blocks(size, block))
	group, gctx := errgroup.WithContext(ctx)
	for i := range keep.Receipts {
		if w.enter(gctx) != nil {
			break // the group or ctx knows why
		}
		data := make([]byte, artifact.LengthOf(size, block, i)) // the request keeps it until it is answered
		if _, err := io.ReadFull(content, data); err != nil {
			w.leave()
			_ = group.Wait()
			return fmt.Errorf("read it at %d: %w", int64(i)*int64(block), err)
		}
		group.Go(func() error {
			defer w.leave()
			put := &workerv1.ArtifactBlock{Id: id[:], Index: uint32(i), Data: data}
			reply, err := w.askFilesHolding(gctx, a, &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Put{Put: put}})
			if err == nil {
				keep.Receipts[i] = reply.Receipt
				failpoint.Hit("worker.after-artifact-block")
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// askFiles asks until there is an answer, in a turn of its own.
func (w *Worker) askFiles(ctx context.Context, a *attempt, ask *workerv1.ArtifactAsk) (*workerv1.ArtifactReply, error) {
	if err := w.enter(ctx); err != nil {
		return nil, err
	}
	defer w.leave()
	return w.askFilesHolding(ctx, a, ask)
}

var errFilesRefused = executors.Permanent(errors.New("NATS's permissions don't let this worker send files: give the server those of taskgrove nats-config"))

// askFilesHolding is askFiles of who has a turn.
func (w *Worker) askFilesHolding(ctx context.Context, a *attempt, ask *workerv1.ArtifactAsk) (*workerv1.ArtifactReply, error) {
	request := &workerv1.ArtifactRequest{Version: workerv1.Version, Grant: a.grant(), Number: rand.Uint64(), Ask: ask}
	key := a.key.Load()
	if key != nil {
		if err := envelope.SealArtifact(key, request); err != nil {
			return nil, err
		}
	}
	var answer *workerv1.ArtifactReply
	err := w.insist(ctx, func() error {
		reply := &workerv1.ArtifactReply{}
		err := w.requestWithin(ctx, w.partWithin(), queue.Artifact, request, reply)
		switch {
		case err != nil && slices.ContainsFunc(w.conn.Refused(), func(what string) bool { return strings.Contains(what, "."+string(queue.Artifact)+".") }):
			return errFilesRefused
		case err != nil:
			return err
		}
		if err := refusal(reply.Error, reply.Final, reply.Busy, false); err != nil {
			return fileError(reply.Kind, err)
		}
		answer = reply
		return envelope.OpenArtifactReply(key, a.work.Attempt, request.Number, reply)
	})
	return answer, err
}

// fileError gives an error its kind: the word that a coordinator has for it.
func fileError(kind string, err error) error { return executors.WithKind(err, kind) }

// Open implements [executors.Files].
func (f *files) Open(ctx context.Context, ref executors.FileRef) (io.ReadCloser, error) {
	digest, err := hex.DecodeString(ref.SHA256)
	if err != nil || len(digest) != sha256.Size || ref.Size < 0 {
		return nil, executors.Permanent(fmt.Errorf("%.200q is no artifact", ref.Artifact))
	}
	find := &workerv1.ArtifactFind{Sha256: digest, Size: uint64(ref.Size)}
	reply, err := f.w.askFiles(ctx, f.a, &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Find{Find: find}})
	if err != nil {
		return nil, fmt.Errorf("artifact %.200q: %w", ref.Artifact, err)
	}
	found := reply.GetFound()
	if found == nil || found.Size != uint64(ref.Size) {
		return nil, fmt.Errorf("artifact %.200q: %w", ref.Artifact, errNoSense)
	}
	return f.read(ctx, ref.Artifact, digest, found)
}

var errNoSense = errors.New("the coordinator's answer makes no sense")

// Newest implements [executors.JobFiles].
func (f *files) Newest(ctx context.Context, job string) (io.ReadCloser, int, error) {
	reply, err := f.w.askFiles(ctx, f.a, &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Newest{Newest: &workerv1.ArtifactNewest{Name: job}}})
	found := reply.GetFound()
	if err != nil || found == nil {
		return nil, 0, err
	}
	if len(found.Sha256) != sha256.Size || found.Number > math.MaxInt32-1 {
		return nil, 0, errNoSense
	}
	content, err := f.read(ctx, job, found.Sha256, found)
	return content, int(found.Number), err
}

// SaveManifest implements [executors.JobFiles].
func (f *files) SaveManifest(ctx context.Context, job string, number int, manifest []byte) error {
	keep := &workerv1.ArtifactKeep{Name: job, MediaType: "application/json", Kind: fileManifest, Number: uint32(number)}
	sum := sha256.New()
	if err := f.w.put(ctx, f.a, keep, int64(len(manifest)), io.TeeReader(bytes.NewReader(manifest), sum), sum); err != nil {
		return fmt.Errorf("save the manifest of job %s: %w", job, err)
	}
	failpoint.Hit("worker.after-manifest")
	return nil
}

// read reads a content that was found.
func (f *files) read(ctx context.Context, name string, digest []byte, found *workerv1.ArtifactFound) (io.ReadCloser, error) {
	if found.Size > math.MaxInt64 || !found.Inline && (len(found.Id) == 0 || artifact.Shape(int64(found.Size), int(found.Block)) != nil) {
		return nil, fmt.Errorf("artifact %.200q: %w", name, errNoSense)
	}
	size := int64(found.Size)
	ctx, cancel := context.WithCancel(ctx)
	r := &fileReader{name: name, want: digest, sum: sha256.New(), left: size, cancel: cancel, blocks: make(chan chan fetched, readAhead)}
	if found.Inline {
		one := make(chan fetched, 1)
		one <- fetched{data: found.Data}
		r.blocks <- one
		close(r.blocks)
		return r, nil
	}
	go f.fetch(ctx, found, size, r.blocks)
	return r, nil
}

// fetched is a block, or why it can't be had.
type fetched struct {
	data []byte
	err  error
}

// fetch asks for the blocks of a content in their order, a few ahead of who reads them, until ctx ends.
func (f *files) fetch(ctx context.Context, found *workerv1.ArtifactFound, size int64, to chan<- chan fetched) {
	defer close(to)
	for i := range artifact.Blocks(size, int(found.Block)) {
		one := make(chan fetched, 1)
		select {
		case to <- one:
		case <-ctx.Done():
			return
		}
		go func() {
			get := &workerv1.ArtifactBlock{Id: found.Id, Index: uint32(i), Pass: found.Pass}
			reply, err := f.w.askFiles(ctx, f.a, &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Get{Get: get}})
			if err == nil && len(reply.Data) != artifact.LengthOf(size, int(found.Block), i) {
				err = executors.Permanent(fmt.Errorf("block %d has %d bytes", i, len(reply.Data)))
			}
			one <- fetched{reply.GetData(), err}
		}()
	}
}

// fileReader reads a content and compares it with its digest.
type fileReader struct {
	name   string
	want   []byte
	sum    hash.Hash
	left   int64 // bytes that Read has not given
	cancel context.CancelFunc
	blocks chan chan fetched
	now    []byte
	err    error
}

func (r *fileReader) Read(p []byte) (int, error) {
	for len(r.now) == 0 && r.err == nil {
		r.advance()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.now)
	r.now, r.left = r.now[n:], r.left-int64(n)
	return n, nil
}

// advance takes the next block. The last one is given only when all that was read has the digest.
func (r *fileReader) advance() {
	one, more := <-r.blocks
	if !more {
		r.err = io.EOF
		if r.left > 0 {
			r.err = fmt.Errorf("artifact %.200q: %w", r.name, io.ErrUnexpectedEOF)
		}
		return
	}
	block := <-one
	if block.err != nil {
		r.err = fmt.Errorf("artifact %.200q: %w", r.name, block.err)
		return
	}
	r.sum.Write(block.data)
	if int64(len(block.data)) >= r.left && string(r.sum.Sum(nil)) != string(r.want) {
		r.err = executors.WithKind(executors.Permanent(fmt.Errorf("artifact %.200q: its content is not the one that the reference names", r.name)), "artifact_missing")
		return
	}
	if r.now = block.data; len(r.now) == 0 && r.left == 0 {
		r.err = io.EOF
	}
}

func (r *fileReader) Close() error {
	r.cancel()
	return nil
}

// withArtifacts adds the files that an attempt saved to its result: an object gets the key artifacts, another value becomes the key value.
func withArtifacts(result []byte, saved []executors.FileRef) ([]byte, error) {
	if len(saved) == 0 {
		return result, nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(result, &object) != nil || object == nil {
		object = map[string]json.RawMessage{}
		if len(result) > 0 {
			object["value"] = result
		}
	}
	list, err := json.Marshal(saved)
	if err != nil {
		return nil, err
	}
	object["artifacts"] = list
	return encode(object)
}
