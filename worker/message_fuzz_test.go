package worker

import (
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// closed is a connection that was one: it knows the server's bounds, and sends nothing.
func closed(f testing.TB) *queue.Conn {
	server, err := natsserver.Start(natsserver.Config{StoreDir: f.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	defer server.Shutdown()
	conn, err := queue.Connect(f.Context(), queue.Config{URL: server.WorkerURL("w"), Name: "w", Worker: "w"})
	if err != nil {
		f.Fatal(err)
	}
	conn.Close()
	return conn
}

// deafWorker hears nothing over its connection: what it is told reaches it by calls. Its session is "i1", its lease holds
// or not.
func deafWorker(t testing.TB, conn *queue.Conn, leased bool) (*Worker, *session) {
	w, err := newWorker(Config{ID: "w", Pools: []Pool{{"p", 2}}, Executors: []executors.Executor{noop.New()}, Log: slog.New(slog.DiscardHandler)}, conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.metrics.stop)
	s := newSession(w)
	s.instance = "i1"
	if leased {
		s.lease.extend(time.Now(), time.Hour)
	}
	w.session.Store(s)
	return w, s
}

// books fails unless the ledger's counts are those of what it lists, and no pool is over its slots.
func books(t *testing.T, w *Worker) {
	t.Helper()
	w.book.mu.Lock()
	defer w.book.mu.Unlock()
	if err := w.book.ledger.Check(); err != nil {
		t.Fatal(err)
	}
}

func pieces(f *testing.F, messages ...proto.Message) {
	for _, m := range messages {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte{})
}

// FuzzNews: receipts, cancellations and handovers, whatever they name, leave the books right; nothing starts that was
// not granted to this session, and nothing without a slot that was offered.
func FuzzNews(f *testing.F) {
	one, two := &workerv1.Attempt{Task: 1, Number: 1}, &workerv1.Attempt{Task: 2, Number: 1}
	next := &workerv1.Work{Version: 1, Attempt: two, Token: []byte("t"), Executor: "none", Inputs: []byte("{}")}
	pieces(f,
		&workerv1.News{Receipts: []*workerv1.Attempt{one, two, {}}, Cancel: []*workerv1.Attempt{one, {Task: -1, Number: math.MaxUint32}}},
		&workerv1.News{Handovers: []*workerv1.Handover{{After: one, Instance: "i1", Pool: "p", Work: next, Header: map[string]string{"a\r\nb": "c\x00"}}}},
		&workerv1.News{Handovers: []*workerv1.Handover{{After: two, Instance: "i1", Pool: "p", Work: next}, {Instance: "i1", Pool: "p", Work: next}}},
		&workerv1.News{Handovers: []*workerv1.Handover{{Instance: "other", Pool: "p", Work: next}, {Instance: "i1", Pool: "q", Work: next}, {Instance: "i1", Pool: "p"}}},
	)
	conn := closed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		w, s := deafWorker(t, conn, true)
		a := s.newAttempt(w.pools[0], &workerv1.Work{Attempt: &workerv1.Attempt{Task: 1, Number: 1}, Token: []byte("t"), Unlocks: true}, nil, time.Now())
		w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
			l.Take(a, out)
			l.Ask(time.Now(), a)
			l.Answer(time.Now(), a, dag.Yes, ledger.None, out)
		})
		a.result = &workerv1.Result{Attempt: a.work.Attempt, End: &workerv1.Result_Completed{Completed: []byte("1")}}
		w.book.finish(a, a.ended(), ledger.AnyOffer)
		books(t, w)
		for range 2 { // news may be repeated
			w.news(data)
		}
		w.working.Wait() // no executor: what starts fails at once
		books(t, w)
		news := &workerv1.News{}
		if proto.Unmarshal(data, news) != nil {
			return
		}
		named := map[ledger.Key]bool{{Task: 1, Number: 1}: true}
		for _, h := range news.Handovers {
			if h.Instance == "i1" && h.Pool == "p" {
				named[keyOf(h.Work.GetAttempt())] = true
			}
		}
		w.book.all(func(a *attempt) {
			if !named[a.Key] {
				t.Errorf("attempt %v was handed to nobody here", a.Key)
			}
		})
	})
}

// FuzzWork: a message of work that can be read becomes the attempts that it names; others become nothing.
func FuzzWork(f *testing.F) {
	pieces(f,
		&workerv1.Work{Version: 1, Attempt: &workerv1.Attempt{Task: 5, Number: 2}, Token: []byte("t"), Executor: "none", Repeatable: true},
		&workerv1.Work{Version: 9, Attempt: &workerv1.Attempt{Task: 5, Number: 2}}, &workerv1.Work{Version: 1},
		&workerv1.Work{Version: 1, Attempt: &workerv1.Attempt{Task: 5, Number: 1}, Ahead: true, More: []*workerv1.Work{
			{Attempt: &workerv1.Attempt{Task: 6, Number: 1}, Ahead: true}, {Attempt: &workerv1.Attempt{Task: 5, Number: 1}},
			{Attempt: &workerv1.Attempt{Task: 7, Number: 1}, More: []*workerv1.Work{{Attempt: &workerv1.Attempt{Task: 8}}}}}},
		&workerv1.Work{Version: 1, Attempt: &workerv1.Attempt{Task: 5, Number: 1}, More: []*workerv1.Work{{}}},
		&workerv1.Work{Version: 1, Attempt: &workerv1.Attempt{}, InputsSize: math.MaxUint64, TimeoutMs: math.MinInt64, Schemas: []byte("{")})
	conn := closed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for delivered := 1; delivered < 3; delivered++ {
			w, s := deafWorker(t, conn, true)
			d := &queue.WorkDelivery{Pool: "p", Data: data, Delivered: delivered, Header: nats.Header{"Traceparent": {string(data)}}}
			work, problem := readWork(data)
			all := s.read(w.pools[0], d, time.Now())
			if problem != nil {
				if len(all) > 0 {
					t.Fatalf("got %d attempts; the message: %v", len(all), problem)
				}
				return
			}
			if len(all) != 1+len(work.More) {
				t.Fatalf("got %d attempts of %d", len(all), 1+len(work.More))
			}
			back, err := proto.Marshal(work)
			if again, problem := readWork(back); err != nil || problem != nil || !proto.Equal(again, work) {
				t.Fatalf("does not survive being written: %v, %v", err, problem)
			}
			for i, one := range append([]*workerv1.Work{work}, work.More...) {
				one.More = nil
				a := all[i]
				if a.Key != keyOf(one.Attempt) || !proto.Equal(a.work, one) {
					t.Fatalf("got attempt %v of %v", a.Key, one)
				}
				if err := w.unknownExecutor(a.work); err == nil {
					t.Fatal("an executor that does not exist is known")
				}
				w.trace(a)
				w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { l.Take(a, out) })
				if a.StartedEarly() && !(one.Repeatable && delivered == 1) {
					t.Fatalf("delivery %d of %v started early", delivered, one)
				}
			}
			books(t, w)
		}
	})
}

// FuzzClaimAnswers: verdicts too many, too few or unknown decide nothing but what they name.
func FuzzClaimAnswers(f *testing.F) {
	pieces(f, &workerv1.ClaimReply{Verdicts: []workerv1.Verdict{1, 2, 0, 1, 77}}, &workerv1.ClaimReply{Verdicts: []workerv1.Verdict{1}},
		&workerv1.ClaimReply{Error: "no", Verdicts: []workerv1.Verdict{-1, 1, 2}})
	conn := closed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		w, s := deafWorker(t, conn, true)
		reply := &workerv1.ClaimReply{}
		if proto.Unmarshal(data, reply) != nil {
			return
		}
		var batch []*attempt
		for task := range int64(2) {
			batch = append(batch, s.newAttempt(w.pools[0], &workerv1.Work{Attempt: &workerv1.Attempt{Task: task, Number: 1}, Token: []byte("t")}, nil, time.Now()))
		}
		whyNot := ledger.Refusal(len(data)%2 == 0, false)
		out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
			for i, a := range batch {
				l.Take(a, &todo{})
				l.Ask(time.Now(), a)
				l.Answer(time.Now(), a, verdict(reply.Verdicts, i), whyNot, out)
			}
		})
		books(t, w)
		want := map[workerv1.Verdict]int{}
		for i := range batch {
			v := workerv1.Verdict_VERDICT_UNSPECIFIED
			if i < len(reply.Verdicts) {
				v = reply.Verdicts[i]
			}
			if v != workerv1.Verdict_VERDICT_YES && v != workerv1.Verdict_VERDICT_NO {
				v = workerv1.Verdict_VERDICT_UNSPECIFIED
			}
			want[v]++
		}
		if len(out.Start)+len(out.Report) != want[workerv1.Verdict_VERDICT_YES] || len(out.Again) != want[workerv1.Verdict_VERDICT_UNSPECIFIED] {
			t.Fatalf("verdicts %v: got %d to start, %d to report, %d to ask again", reply.Verdicts, len(out.Start), len(out.Report), len(out.Again))
		}
	})
}

// FuzzBeatAnswers: no answer makes a lease longer than the coordinator can have meant, nor an older answer undo a newer
// one; the books stay right.
func FuzzBeatAnswers(f *testing.F) {
	one := []*workerv1.Attempt{{Task: 1, Number: 1}, {}}
	pieces(f, &workerv1.BeatReply{Number: 1, LeaseMs: 30_000, Cancel: one}, &workerv1.BeatReply{Number: 1, LeaseMs: math.MaxInt64, Disowned: one},
		&workerv1.BeatReply{Number: 1, LeaseMs: math.MinInt64, Settled: one}, &workerv1.BeatReply{Number: 9, LeaseMs: 1}, &workerv1.BeatReply{Number: 1, Error: "no"})
	conn := closed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		w, s := deafWorker(t, conn, false)
		reply := &workerv1.BeatReply{}
		if proto.Unmarshal(data, reply) != nil {
			return
		}
		beat := s.nextBeat(false)
		sent := time.Now()
		s.answeredBeat(beat.Number, sent, reply)
		books(t, w)
		if reply.Number != beat.Number && !s.lease.Until().IsZero() {
			t.Fatalf("an answer to beat %d was taken for that to %d", reply.Number, beat.Number)
		}
		if until := s.lease.Until(); until.After(sent.Add(maxLease)) {
			t.Fatalf("lease of %d ms: lasts until %s", reply.LeaseMs, until)
		}
		until := s.lease.Until()
		s.answeredBeat(beat.Number, sent, &workerv1.BeatReply{Number: beat.Number, LeaseMs: 1 << 40})
		if again := s.lease.Until(); reply.Number == beat.Number && !again.Equal(until) {
			t.Fatalf("a second answer to beat %d extended the lease", beat.Number)
		}
	})
}
