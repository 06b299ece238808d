package coordinator

import (
	"bytes"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// deaf is a coordinator that has neither a store nor a bus: it can decode. The instance "i" belongs to the worker "w".
func deaf() *Coordinator {
	return &Coordinator{engine: &engine{
		cfg: Config{MaxResult: 1 << 20}, log: slog.New(slog.DiscardHandler), tokens: workers.NewTokens([]byte("secret")),
		instances: &instances{known: map[string]instance{"i": {Instance: workers.Instance{Key: 7}, worker: "w"}}},
	}}
}

// meet makes the instance known, so that no store is asked. "i" stays what it is, all others are nobody's.
func (c *Coordinator) meet(name string) {
	if name != "i" {
		c.instances.known = map[string]instance{"i": c.instances.known["i"], name: {}}
	}
}

func wire(f *testing.F, m proto.Message) []byte {
	data, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// seed adds messages, each whole and cut.
func seed(f *testing.F, messages ...proto.Message) {
	for _, m := range messages {
		data := wire(f, m)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0x1a}, 100))
}

// own is an attempt with its token, as only deaf's worker holds it.
func own(c *Coordinator, task int64) *workerv1.Grant {
	return &workerv1.Grant{Attempt: &workerv1.Attempt{Task: task, Number: 1}, Token: c.tokens.Of(dag.Key(task), 1)}
}

// holds reports whether a message's attempt comes with its token.
func (c *Coordinator) holds(a *workerv1.Attempt, token []byte) bool {
	return bytes.Equal(token, c.tokens.Of(dag.Key(a.GetTask()), int32(a.GetNumber())))
}

// FuzzClaims: every grant of a request that can be read has its place in the answer; only those with their tokens, of
// the worker that owns the instance, reach the store.
func FuzzClaims(f *testing.F) {
	c := deaf()
	forged := own(c, 3)
	forged.Attempt.Number = math.MaxUint32
	seed(f, &workerv1.ClaimRequest{Version: 1, Instance: "i", Grants: []*workerv1.Grant{own(c, 1), {}, forged, own(c, -1)}},
		&workerv1.ClaimRequest{Instance: "other", Grants: []*workerv1.Grant{own(c, 1)}})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := deaf()
		m := &workerv1.ClaimRequest{}
		readable := proto.Unmarshal(data, m) == nil
		c.meet(m.Instance)
		a, claims := c.decodeClaim(t.Context(), request{worker: "w", data: data}, 5)
		if !readable {
			if len(claims)+len(a.verdicts) > 0 {
				t.Fatalf("got %d claims and %d verdicts of what can't be read", len(claims), len(a.verdicts))
			}
			return
		}
		if len(a.verdicts) != len(m.Grants) || len(a.index) != len(m.Grants) {
			t.Fatalf("got %d verdicts and %d places for %d grants", len(a.verdicts), len(a.index), len(m.Grants))
		}
		next := 0
		for i, g := range m.Grants {
			switch held := c.holds(g.Attempt, g.Token); {
			case !held:
				if a.verdicts[i] != workerv1.Verdict_VERDICT_NO || a.index[i] != -1 {
					t.Fatalf("grant %d without its token: got %v at %d", i, a.verdicts[i], a.index[i])
				}
			case m.Instance != "i":
				if a.verdicts[i] != workerv1.Verdict_VERDICT_UNSPECIFIED || a.index[i] != -1 {
					t.Fatalf("grant %d of nobody: got %v at %d", i, a.verdicts[i], a.index[i])
				}
			default:
				if got := claims[next]; a.index[i] != 5+next || got.Task != dag.Key(g.Attempt.GetTask()) || got.Worker != 7 {
					t.Fatalf("grant %d: got claim %+v at %d", i, got, a.index[i])
				}
				next++
			}
		}
		if next != len(claims) {
			t.Fatalf("got %d claims, want %d", len(claims), next)
		}
	})
}

// FuzzBeats: what is taken keeps the bounds and can be stored; what is not says which field is at fault.
func FuzzBeats(f *testing.F) {
	at := []*workerv1.Attempt{{Task: 1, Number: 1}, {Task: -1, Number: math.MaxUint32}, {}}
	seed(f, &workerv1.Beat{Version: 1, Instance: "i", Number: 1, Pools: []*workerv1.PoolCapacity{{Pool: "gpu", Concurrency: 4}, {Pool: "gpu"}},
		Asked: at, Running: at, Reported: at, Host: "h\x00", Build: "b", Executors: []string{"noop_executor"}},
		&workerv1.Beat{Version: 2, Instance: "i", Number: math.MaxUint64},
		&workerv1.Beat{Version: 1, Instance: "i", Number: 1, Pools: []*workerv1.PoolCapacity{{Pool: "a.>"}}},
		&workerv1.Beat{Version: 1, Instance: "i", Number: 1, Leaving: true, Draining: true, Executors: []string{"\x00"}},
		&workerv1.Beat{Version: 9})
	fields := []string{"instance", "number", "pools", "executors", "attempts", "too old"}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBeat(request{worker: "w", data: data})
		if err != nil {
			return
		}
		if b.reply.Error != "" {
			if !slices.ContainsFunc(fields, func(name string) bool { return strings.Contains(b.reply.Error, name) }) || len(b.reply.Error) > 400 {
				t.Fatalf("got refusal %q, want a field's name", b.reply.Error)
			}
			return
		}
		row := b.row()
		for _, s := range append([]string{row.Instance, row.Host, row.Build}, b.m.Executors...) {
			if !text(s) {
				t.Fatalf("%q can't be stored", s)
			}
		}
		slots := 0
		for name, n := range row.Pools {
			if !dag.ValidPool(name) || !queue.ValidName(name) || n < 0 || n > maxConcurrency {
				t.Fatalf("got pool %q with %d slots", name, n)
			}
			slots += n
		}
		if len(row.Pools) > workerv1.MaxPools || len(row.Attempts) > maxListed || len(row.Attempts) != len(b.m.Asked)+len(b.m.Running)+len(b.m.Reported) ||
			row.Number < 0 || slots > workerv1.MaxPools*maxConcurrency {
			t.Fatalf("got %d pools, %d attempts, number %d, %d slots", len(row.Pools), len(row.Attempts), row.Number, slots)
		}
		b.compare(nil, workers.Instance{Key: 7})
		if len(b.reply.Disowned) != len(b.m.Running) || len(b.reply.Settled) != len(b.m.Reported) {
			t.Fatalf("got %d disowned and %d settled of %d and %d that nobody knows", len(b.reply.Disowned), len(b.reply.Settled), len(b.m.Running), len(b.m.Reported))
		}
	})
}

// FuzzProgress: only what comes with its token and lies between 0 and 1 is taken, of each task the last.
func FuzzProgress(f *testing.F) {
	c := deaf()
	of := func(task int64, fraction float64) *workerv1.Progress {
		g := own(c, task)
		return &workerv1.Progress{Attempt: g.Attempt, Token: g.Token, Fraction: fraction}
	}
	forged := of(1, 1)
	forged.Attempt.Task = 2
	seed(f, &workerv1.ProgressBatch{Progress: []*workerv1.Progress{of(1, .5), of(2, 0), of(1, 1), {}, of(3, -1), of(4, math.NaN()), of(5, math.Inf(1))}},
		&workerv1.ProgressBatch{Progress: []*workerv1.Progress{forged}},
		&workerv1.ProgressBatch{Live: []*workerv1.Live{{Attempt: of(1, 0).Attempt, Token: of(1, 0).Token, Number: 1, Pieces: []*workerv1.Piece{{Kind: "token", Text: "a"}, {Kind: "x"}}}}})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := deaf()
		before := of(1<<40, .25)
		latest := map[dag.Key]*workerv1.Progress{1 << 40: before}
		for _, m := range c.decodeProgress(t.Context(), data, latest) {
			if len(m.Token) > 0 || len(m.Pieces) == 0 || len(m.Pieces) > livePieces || proto.Size(m) > liveBytes+livePieces*32+64 {
				t.Fatalf("it passes on %d pieces in %d bytes, with %d of a token", len(m.Pieces), proto.Size(m), len(m.Token))
			}
		}
		m := &workerv1.ProgressBatch{}
		want := map[dag.Key]float64{1 << 40: .25}
		if proto.Unmarshal(data, m) == nil {
			for _, p := range m.Progress {
				if c.holds(p.Attempt, p.Token) && p.Fraction >= 0 && p.Fraction <= 1 {
					want[dag.Key(p.Attempt.GetTask())] = p.Fraction
				}
			}
		}
		if len(latest) != len(want) {
			t.Fatalf("got progress of %d tasks, want %d", len(latest), len(want))
		}
		for k, p := range latest {
			if fraction, ok := want[k]; !ok || p.Fraction != fraction {
				t.Fatalf("task %d: got %v, want %v", k, p.Fraction, fraction)
			}
		}
	})
}

// FuzzInputs: only who holds an attempt's token gets a part of its inputs, and parts together are the whole.
func FuzzInputs(f *testing.F) {
	c := deaf()
	forged := own(c, 1)
	forged.Attempt.Number = 2
	inputs := []byte(strings.Repeat("0123456789", 100))
	seed(f, &workerv1.InputsRequest{Grant: own(c, 1)}, &workerv1.InputsRequest{Grant: own(c, -1), Offset: 990},
		&workerv1.InputsRequest{Grant: own(c, 1), Offset: math.MaxUint64}, &workerv1.InputsRequest{Grant: forged}, &workerv1.InputsRequest{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := deaf()
		m := &workerv1.InputsRequest{}
		may := proto.Unmarshal(data, m) == nil && c.holds(m.GetGrant().GetAttempt(), m.GetGrant().GetToken())
		asked, k, attempt, refusal := c.decodeInputs(t.Context(), data)
		if (refusal == nil) != may || refusal != nil && (refusal.Error == "" || !refusal.Final) {
			t.Fatalf("got %v for a request that may be answered: %v", refusal, may)
		}
		if !may {
			return
		}
		offset := asked.Offset
		if k != dag.Key(m.Grant.Attempt.Task) || attempt != int32(m.Grant.Attempt.Number) || offset != m.Offset {
			t.Fatalf("got %d/%d from %d on", k, attempt, offset)
		}
		part := partOf(inputs, offset, 300)
		from := min(offset, uint64(len(inputs)))
		if part.Size != uint64(len(inputs)) || len(part.Data) > 300 || !bytes.HasPrefix(inputs[from:], part.Data) || len(part.Data) == 0 && from < part.Size {
			t.Fatalf("got %d bytes of %d from %d on", len(part.Data), part.Size, offset)
		}
	})
}

// FuzzClean: whatever a text is, it can be stored, is bounded, and is left alone when it could be stored before.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "fine", "a\x00b", "\xff\xfe", strings.Repeat("é", 40_000), strings.Repeat("\xc3", 70_000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !text(got) || !utf8.ValidString(got) || len(got) > 3*(65<<10) {
			t.Fatalf("%q: got %d bytes, storable %v", s, len(got), text(got))
		}
		if text(s) && len(s) <= 64<<10 && got != s {
			t.Fatalf("%q: got %q", s, got)
		}
	})
}

// FuzzCursors: a cursor is read by the list that made it, and by no other; reading never invents a place.
func FuzzCursors(f *testing.F) {
	f.Add("t", int64(1), int64(math.MinInt64), "")
	f.Add("c", int64(-1), int64(7), cursorTo("t", 5, 6))
	f.Add("c", int64(0), int64(0), "not a cursor")
	f.Fuzz(func(t *testing.T, kind string, a, b int64, garbage string) {
		if len(kind) != 1 || strings.ContainsAny(kind, "0123456789-[] ") { // the kinds are letters
			kind = "t"
		}
		var x, y int64
		if err := cursorFrom(kind, cursorTo(kind, a, b), &x, &y); err != nil || x != a || y != b {
			t.Fatalf("%q: got %d, %d, %v, want %d, %d", kind, x, y, err, a, b)
		}
		if err := cursorFrom("z"+kind, cursorTo(kind, a, b), &x, &y); err == nil {
			t.Fatalf("a cursor of %q is read as one of another list", kind)
		}
		if err := cursorFrom(kind, garbage, &x, &y); err != nil && !strings.Contains(err.Error(), "cursor") {
			t.Fatalf("got %v, want the field's name", err)
		}
	})
}

// FuzzOptions: options that are accepted can be stored; others are refused by their field's name.
func FuzzOptions(f *testing.F) {
	f.Add("key", "user", int64(0))
	f.Add(strings.Repeat("k", 256), "\xff", int64(-1))
	f.Add("a\x00", "", int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, key, user string, timeout int64) {
		err := SubmitOptions{IdempotencyKey: key, UserID: user, Timeout: 0}.validate()
		storable := text(key) && text(user) && len(key) <= 255 && len(user) <= 255
		if (err == nil) != storable {
			t.Fatalf("key %q, user %q: got %v", key, user, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "idempotency_key: ") && !strings.HasPrefix(err.Error(), "user_id: ") {
			t.Fatalf("got %v, want a field's name", err)
		}
		if _, err := limitOf(int(timeout)); err == nil && (timeout < 0 || timeout > maxLimit) {
			t.Fatalf("limit %d is accepted", timeout)
		}
	})
}

// TestBeatsOfOneInstanceInOneBatch: one of them counts, the newest or a farewell, whatever their order; two workers never
// share an instance.
func TestBeatsOfOneInstanceInOneBatch(t *testing.T) {
	t.Parallel()
	type sent struct {
		worker  string
		number  uint64
		leaving bool
		refused string // by its own fault
	}
	for _, row := range []struct {
		fact    string
		beats   []sent
		counts  int   // which of them; -1: none
		refused []int // which are not its worker's
	}{
		{"the newest", []sent{{"w", 2, false, ""}, {"w", 1, false, ""}}, 0, nil},
		{"the newest, though later", []sent{{"w", 1, false, ""}, {"w", 2, false, ""}}, 1, nil},
		{"a farewell before a newer one", []sent{{"w", 1, true, ""}, {"w", 2, false, ""}}, 0, nil},
		{"a farewell after a newer one", []sent{{"w", 2, false, ""}, {"w", 1, true, ""}}, 1, nil},
		{"a copy", []sent{{"w", 1, false, ""}, {"w", 1, false, ""}}, 0, nil},
		{"a newer one that can't be taken", []sent{{"w", 1, false, ""}, {"w", 2, false, "pools: 257"}}, 0, nil},
		{"a stranger's after", []sent{{"w", 1, false, ""}, {"x", 9, true, ""}}, 0, []int{1}},
		{"a stranger's before", []sent{{"x", 9, true, ""}, {"w", 1, false, ""}}, 1, []int{0}},
		{"strangers' all around", []sent{{"x", 9, true, ""}, {"y", 3, false, ""}, {"w", 1, false, ""}, {"x", 10, false, ""}}, 2, []int{0, 1, 3}},
	} {
		var list []*beating
		for _, s := range row.beats {
			list = append(list, &beating{request: request{worker: s.worker}, reply: &workerv1.BeatReply{Error: s.refused},
				m: &workerv1.Beat{Instance: "i", Number: s.number, Leaving: s.leaving}})
		}
		got := newest(list, func(worker, _ string) bool { return worker == "w" })
		if len(got) != 1 || got["i"] != list[row.counts] {
			t.Errorf("%s: got %d that count, want number %d of the list", row.fact, len(got), row.counts)
		}
		for i, b := range list {
			if want := slices.Contains(row.refused, i); (b.reply.Error == errNotYours) != want {
				t.Errorf("%s: beat %d: got error %q", row.fact, i, b.reply.Error)
			}
		}
	}
}
