package pg

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// DispatchHeld is [Store.Dispatch] for a pool that may have a limit, or may be paused, or while users may have limits: it takes no more than they let start, and
// notes what is held. Without portions it takes what got ready first, whosever it is. It works for other pools, too, if slower: one of these at a time is under way in a cluster.
func (s *Store) DispatchHeld(ctx context.Context, lane dag.Lane, n int, portions *Portions) (out Dispatched, err error) {
	for { // until it comes to tasks that still are ready, or to the end
		out, more, err := s.dispatchHeld(ctx, lane, n, portions)
		if len(out.Work) > 0 || !more || err != nil {
			return out, err
		}
	}
}

// HeldRoom is how many tasks of a pool its limit lets start now, at most n.
func (s *Store) HeldRoom(ctx context.Context, pool int32, n int) (room int, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("HeldRoom"), pool, n).Scan(&room); err != nil {
		return 0, fmt.Errorf("read the room of a pool: %w", err)
	}
	return max(0, room), nil
}

// dispatchHeld takes one step of it. more: it took stretches, whose tasks may all have ended since they were ready.
func (s *Store) dispatchHeld(ctx context.Context, lane dag.Lane, n int, portions *Portions) (out Dispatched, more bool, err error) {
	of, each := portions.arrays()
	var stretches, missing []Stretch
	var waited []time.Duration // of each of stretches
	all, held := map[dag.Key]*Work{}, map[dag.Key]bool{}
	if err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		stretches, missing, waited = nil, nil, nil
		clear(all)
		clear(held)
		out.Of = map[dag.TreeKey]dag.ShareKey{}
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockGrants"))
		b.Queue(sql("DispatchHeld"), lane.Pool, int16(lane.Priority), n, of, each, portions.looked()).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				st := Stretch{Pool: lane.Pool, Priority: lane.Priority, First: v.key(), N: v.integer(), Attempt: v.integer()}
				stretches = append(stretches, st)
				created, server, revision, execution := v.timestamp(), v.timestamp(), v.bigint(), v.integer()
				waited = append(waited, time.Duration(v.bigint())*time.Microsecond)
				for n := range strings.FieldsSeq(v.text()) {
					i, _ := strconv.Atoi(n) // Postgres wrote it
					held[st.First+dag.Key(i)] = true
				}
				out.Of[st.First.Tree()] = dag.ShareKey(v.integer())
				resident := s.resident.dispatched(st, identity{created: created, server: server, revision: revision}, execution)
				for _, w := range resident {
					all[w.Key] = w
				}
				if resident == nil {
					missing = append(missing, st)
				}
			})
		})
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	}); err != nil {
		return Dispatched{}, false, fmt.Errorf("dispatch what is held back: %w", err)
	}
	if err = s.loadStretches(ctx, missing, all); err != nil { // as in Dispatch
		if err = s.loadStretches(ctx, missing, all); err != nil {
			err = fmt.Errorf("load what was dispatched: %w", err)
		}
	}
	for i, st := range stretches {
		these := st.among(all)
		for _, w := range these {
			if !held[w.Key] {
				continue
			}
			w.Waited = waited[i]
			w.Flags |= dag.FlagHolds // what is resident does not know it
			out.Work = append(out.Work, w)
		}
	}
	return out, len(stretches) > 0, err
}
