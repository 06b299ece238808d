package envelope_test

import (
	"bytes"
	"testing"

	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/workers"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// BenchmarkAttempt is what sealing adds to an attempt with a value of a few hundred bytes, on both sides together: its key, twice, its work and
// its result.
func BenchmarkAttempt(b *testing.B) {
	tokens := workers.NewTokens([]byte("secret"))
	value := bytes.Repeat([]byte("x"), 300)
	a := &workerv1.Attempt{Task: 7, Number: 1}
	for b.Loop() {
		key := tokens.KeyIn(0, 7, 1)
		w := &workerv1.Work{Attempt: a, Inputs: value}
		r := &workerv1.Result{Attempt: a, End: &workerv1.Result_Completed{Completed: value}}
		if envelope.SealWork(key, w) != nil || envelope.OpenWork(key, w) != nil || envelope.SealResult(key, r) != nil ||
			envelope.OpenResult(tokens.KeyIn(0, 7, 1), r) != nil {
			b.Fatal("it does not open")
		}
	}
}
