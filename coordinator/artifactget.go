package coordinator

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// findArtifact looks for a content that the attempt may read: whatever a result says, it is one of the attempt's own tree, or of its owner, or of the bundle of its run.
func (c *Coordinator) findArtifact(ctx context.Context, k dag.Key, n int32, m *workerv1.ArtifactFind) (*workerv1.ArtifactFound, error) {
	if len(m.Sha256) != digestBytes || m.Size > 1<<62 {
		return nil, refuse(artifactInput, "a digest of %d bytes", len(m.Sha256))
	}
	a, err := c.store.FindArtifact(ctx, k.Tree(), m.Sha256, int64(m.Size))
	if errors.Is(err, pg.ErrNotFound) {
		var file *pg.BundleContent
		if file, err = c.store.BundleFileOf(ctx, k.Tree(), m.Sha256, int64(m.Size)); err == nil {
			return c.foundIn(k, n, file), nil
		}
	}
	if errors.Is(err, pg.ErrNotFound) {
		return nil, refuse(artifactMissing, "there is no artifact with that digest and size that this tree may read")
	}
	if err != nil {
		return nil, err
	}
	return c.found(ctx, k, n, a)
}

// found says how an attempt can read an artifact that it may read.
func (c *Coordinator) found(ctx context.Context, k dag.Key, n int32, a *pg.Artifact) (*workerv1.ArtifactFound, error) {
	if a.Content == nil {
		data, err := c.store.ArtifactData(ctx, a)
		return &workerv1.ArtifactFound{Size: uint64(a.Size), Data: data, Inline: true}, err
	}
	id := artifact.ID(a.Content.ID)
	return &workerv1.ArtifactFound{Id: id[:], Size: uint64(a.Size), Block: uint32(a.Content.Block), Pass: c.pass(k, n, id)}, nil
}

// foundIn says how an attempt can read a file of its run's bundle.
func (c *Coordinator) foundIn(k dag.Key, n int32, file *pg.BundleContent) *workerv1.ArtifactFound {
	if file.Content == nil {
		return &workerv1.ArtifactFound{Size: uint64(file.Size), Data: file.Data, Inline: true}
	}
	id := artifact.ID(file.Content.ID)
	return &workerv1.ArtifactFound{Id: id[:], Size: uint64(file.Size), Block: uint32(file.Content.Block), Pass: c.pass(k, n, id)}
}

// newestManifest looks for what the steps of a flow's job in the attempt's tree have left so far; nil: nothing.
func (c *Coordinator) newestManifest(ctx context.Context, k dag.Key, n int32, m *workerv1.ArtifactNewest) (*workerv1.ArtifactFound, error) {
	if m.Name == "" || len(m.Name) > maxJobBytes {
		return nil, refuse(artifactInput, "a name of %d bytes", len(m.Name))
	}
	a, err := c.store.NewestManifest(ctx, k.Tree(), m.Name)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := c.found(ctx, k, n, a)
	if err != nil {
		return nil, err
	}
	found.Sha256, found.Number = a.Digest, uint32(a.Number)
	return found, nil
}

// treesOf says how the trees of attempts are, which may have ended.
func (c *Coordinator) treesOf(ctx context.Context, m *workerv1.ArtifactTrees) ([]workerv1.ArtifactTree, error) {
	if len(m.Attempts) > maxTreesAsked {
		return nil, refuse(artifactInput, "%d trees at once", len(m.Attempts))
	}
	var keys []dag.TreeKey
	proved := make([]bool, len(m.Attempts))
	for i, g := range m.Attempts {
		k := dag.Key(g.GetAttempt().GetTask())
		if proved[i] = c.proof(ctx, k, int32(g.GetAttempt().GetNumber()), g.GetToken()) == workers.Proved; proved[i] {
			keys = append(keys, k.Tree())
		}
	}
	ends, err := c.store.TreeEnds(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make([]workerv1.ArtifactTree, len(m.Attempts))
	for i, g := range m.Attempts {
		end, there := ends[dag.Key(g.GetAttempt().GetTask()).Tree()]
		switch {
		case !proved[i]:
		case !there:
			out[i] = workerv1.ArtifactTree_ARTIFACT_TREE_GONE
		case !end.Ended:
			out[i] = workerv1.ArtifactTree_ARTIFACT_TREE_OPEN
		case end.Successful:
			out[i] = workerv1.ArtifactTree_ARTIFACT_TREE_COMPLETED
		default:
			out[i] = workerv1.ArtifactTree_ARTIFACT_TREE_FAILED
		}
	}
	return out, nil
}

// pass proves that a coordinator let an attempt read a content.
func (c *Coordinator) pass(k dag.Key, n int32, id artifact.ID) []byte {
	h := hmac.New(sha256.New, c.vouch)
	h.Write([]byte("read\x00"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(k)))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
	h.Write(id[:])
	return h.Sum(nil)[:16]
}

// getBlock gives a block of a content that was found.
func (c *Coordinator) getBlock(ctx context.Context, k dag.Key, n int32, m *workerv1.ArtifactBlock) ([]byte, error) {
	id, err := contentID(m.Id)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(m.Pass, c.pass(k, n, id)) {
		return nil, refuse(artifactInput, "the attempt may not read that content")
	}
	content, err := c.contents.get(ctx, c.store, id, true)
	if err != nil {
		return nil, err
	}
	if int64(m.Index) >= int64(artifact.Blocks(content.Size, content.Block)) {
		return nil, refuse(artifactInput, "there is no block %d", m.Index)
	}
	data, err := c.blockOf(ctx, content, int(m.Index))
	c.meter.artifactBytes(ctx, "out", len(data))
	return data, err
}

// blockOf reads a block, compares it with its digest and opens it.
func (c *Coordinator) blockOf(ctx context.Context, content *pg.Content, index int) ([]byte, error) {
	data, err := c.artifacts.Get(ctx, content.ID, index)
	if err != nil {
		return nil, err
	}
	if at := index * digestBytes; len(content.Digests) < at+digestBytes || artifact.Sum(data) != artifact.Digest(content.Digests[at:at+digestBytes]) {
		return nil, artifact.ErrCorrupt
	}
	return openBlock(content, index, data)
}

const (
	sweepEvery = time.Minute
	sweepBatch = 100
)

// runSweep deletes contents that nothing refers to from the store of artifacts, until ctx ends. Every coordinator does: a content is deleted however
// often it is tried.
func (c *Coordinator) runSweep(ctx context.Context) error {
	for {
		if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("contents that nothing refers to are not deleted", "error", err)
		}
		if !sleep(ctx, sweepEvery) {
			return nil
		}
	}
}

// sweep deletes what there is to be deleted now.
func (c *Coordinator) sweep(ctx context.Context) error {
	for {
		spare, last, looked, err := c.store.SpareContents(ctx, sweepBatch)
		if err != nil || looked == 0 {
			return err
		}
		var gone []pg.Content
		for i, content := range append(last, spare...) {
			failpoint.Hit("coordinator.before-artifact-drop")
			if err = c.artifacts.Drop(ctx, content.ID, artifact.Blocks(content.Size, content.Block)); err != nil {
				break // it comes again
			}
			if i < len(last) {
				gone = append(gone, content)
			}
		}
		failpoint.Hit("coordinator.after-artifact-drop")
		if len(gone) > 0 {
			err = errors.Join(err, c.store.ForgetContents(ctx, gone))
		}
		if err != nil || looked < sweepBatch {
			return err
		}
	}
}
