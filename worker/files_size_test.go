package worker_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/worker"
)

// A sparse file of terabytes takes nothing of a disk. It fails as one that a coordinator finds too large.
func TestTooLargeForBlocks(t *testing.T) {
	t.Parallel()
	const most = int64(artifact.BlockBytes) * artifact.MaxBlocks
	if err := worker.SizeFault(most, artifact.BlockBytes); err != nil {
		t.Errorf("of %d bytes: %v", most, err)
	}
	if err := worker.SizeFault(4<<40, artifact.BlockBytes); !executors.IsPermanent(err) || executors.KindOf(err) != "artifact_large" {
		t.Errorf("of 4 TiB: %v, of the kind %q", err, executors.KindOf(err))
	}
}
