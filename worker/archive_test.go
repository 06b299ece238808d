package worker

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// What is kept of an attempt's log is bounded, and so is what is kept of all; it is whole frames up to there.
func TestArchivedLogsAreBounded(t *testing.T) {
	r := &archive{}
	r.init(nil)
	random := rand.NewChaCha8([32]byte{1})
	lines := func() []*workerv1.LogLine {
		data := make([]byte, 16<<10) // which does not compress too well
		_, _ = random.Read(data)
		return []*workerv1.LogLine{{Text: hex.EncodeToString(data), Number: 1}}
	}
	var kept []byte
	for range 1000 {
		kept = r.add(kept, lines())
	}
	if len(kept) < archiveMost || len(kept) > archiveMost+64<<10 || r.bytes.Load() != int64(len(kept)) {
		t.Errorf("%d bytes are kept of one attempt, %d are counted; the bound is %d", len(kept), r.bytes.Load(), archiveMost)
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	plain := 0
	for left := kept; len(left) > 0; plain++ {
		size, n := binary.Uvarint(left)
		text, err := decoder.DecodeAll(left[n:n+int(size)], nil)
		batch := &workerv1.LogBatch{}
		if err != nil || proto.Unmarshal(text, batch) != nil || len(batch.Lines) != 1 {
			t.Fatalf("frame %d can't be read: %v", plain, err)
		}
		left = left[n+int(size):]
	}
	others := int64(0)
	for range 100 {
		var one []byte
		for range 400 {
			one = r.add(one, lines())
		}
		others += int64(len(one))
	}
	if all := others + int64(len(kept)); all != r.bytes.Load() || all < archiveBytes || all > archiveBytes+64<<10 {
		t.Errorf("%d bytes are kept of all, %d are counted; the bound is %d", all, r.bytes.Load(), archiveBytes)
	}
}
