package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/pg"
)

// That what Postgres refers to is in the store of artifacts, only the store can say: it is asked for the last block of a content, which is compared with
// its digest.

// treeArtifacts is how many artifacts of one tree are looked at.
const treeArtifacts = 10_000

// lost says what is wrong with a content; empty: nothing. Its error is that nobody can say now.
func (c *Coordinator) lost(ctx context.Context, content *pg.Content) (string, error) {
	last := artifact.Blocks(content.Size, content.Block) - 1
	_, err := c.blockOf(ctx, content, last)
	if errors.Is(err, artifact.ErrNotFound) || errors.Is(err, artifact.ErrCorrupt) {
		return fmt.Sprintf("block %d of %d bytes: %v", last, content.Size, err), nil
	}
	return "", err
}

// lostArtifacts are artifacts of a tree whose contents are not in the store.
func (c *Coordinator) lostArtifacts(ctx context.Context, tree dag.TreeKey) (found []pg.Violation, err error) {
	from, end := tree.Range()
	list, err := c.store.ArtifactsIn(ctx, from, end, &pg.Artifact{}, []int16{pg.ArtifactFile, pg.ArtifactOutput, pg.ArtifactLog, pg.ArtifactManifest}, treeArtifacts)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Content == nil {
			continue
		}
		what, err := c.lost(ctx, list[i].Content)
		if err != nil {
			return nil, err
		}
		if what != "" {
			found = append(found, pg.Violation{Kind: "artifact_lost", Tree: tree, Task: list[i].Task, Text: what})
		}
	}
	return found, nil
}

// lostContents are contents behind a row that are not in the store, and where to go on; 0: from the beginning.
func (c *Coordinator) lostContents(ctx context.Context, after int64, limit int) (found []pg.Violation, next int64, err error) {
	list, err := c.store.StoredContents(ctx, after, limit)
	if err != nil {
		return nil, after, err
	}
	for i := range list {
		what, err := c.lost(ctx, &list[i].Content)
		if err != nil {
			return nil, after, err
		}
		if what != "" && list[i].Has != 0 { // one that nobody has may just have been swept
			found = append(found, pg.Violation{Kind: "artifact_lost", Tree: list[i].Has.Tree(), Task: list[i].Has, Text: what})
		}
		next = list[i].Row
	}
	if len(list) < limit {
		next = 0
	}
	return found, next, nil
}
