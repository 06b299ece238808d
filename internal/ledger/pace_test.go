package ledger

import (
	"testing"
	"time"
)

// repeat has n runs end at a pool, one every so often.
func (p *pace) repeat(from time.Time, n int, every, ran time.Duration) (now time.Time) {
	for now = from; n > 0; n-- {
		now = now.Add(every)
		p.end(now, ran)
	}
	return now
}

// brisk is the pace of a pool that starts a thousand runs in a second, of a millisecond each.
func brisk(p *pace, now time.Time) time.Time {
	return p.repeat(now, 500, time.Millisecond, time.Millisecond)
}

func TestPace(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	for _, row := range []struct {
		fact                   string
		pace                   func(p *pace)
		slots, most, mostBytes int
		want                   int
	}{
		{"nothing is known: nobody is in line", func(p *pace) {}, 16, 100, 1 << 20, 0},
		{"too few runs are known", func(p *pace) { p.repeat(begin, enough, time.Millisecond, time.Millisecond) }, 16, 100, 1 << 20, 0},
		{"what starts within the time of a take", func(p *pace) { brisk(p, begin) }, 2, 100, 1 << 20, 29},
		{"at least a few for each slot, when runs are short", func(p *pace) { brisk(p, begin) }, 50, 1000, 1 << 20, 200},
		{"a slot for each run that would end meanwhile", func(p *pace) { p.repeat(begin, 500, time.Millisecond, 15*time.Millisecond) }, 20, 1000, 1 << 20, 40},
		{"no more than may be", func(p *pace) { brisk(p, begin) }, 16, 10, 1 << 20, 10},
		{"none at all, if none may be", func(p *pace) { brisk(p, begin) }, 16, 0, 1 << 20, 0},
		{"no more bytes than may be", func(p *pace) { brisk(p, begin); p.message(1000) }, 16, 100, 7500, 7},
		{"of the largest message, though smaller ones came later", func(p *pace) { brisk(p, begin); p.message(6400); p.message(1) }, 16, 100, 63_000, 10},
		{"large ones are forgotten", func(p *pace) {
			brisk(p, begin)
			for p.message(6400); p.bytes > 100; {
				p.message(10)
			}
		}, 2, 100, 1 << 20, 29},
		{"long runs: slots free too rarely", func(p *pace) { p.repeat(begin, 100, 100*time.Millisecond, time.Second) }, 10, 100, 1 << 20, 0},
		{"long runs that end together: the next end no sooner", func(p *pace) {
			p.repeat(begin.Add(time.Second), 16, time.Millisecond, time.Second)
			p.repeat(begin.Add(2*time.Second), 16, time.Millisecond, time.Second)
		}, 16, 100, 1 << 20, 0},
		{"many slots: one is free often enough", func(p *pace) { brisk(p, begin) }, 1000, 1000, 1 << 20, 0},
		{"what waited for too long: half, and no more than starts", func(p *pace) { p.strain(brisk(p, begin)) }, 16, 100, 1 << 20, 14},
		{"a second later it is forgotten", func(p *pace) {
			now := brisk(p, begin)
			p.strain(now)
			p.repeat(now, 1500, time.Millisecond, time.Millisecond)
		}, 16, 100, 1 << 20, 64},
		{"one long run among many short ones changes little", func(p *pace) {
			now := brisk(p, begin)
			p.end(now, 10*time.Millisecond)
		}, 2, 100, 1 << 20, 29},
		{"what is idle for long is measured anew", func(p *pace) {
			now := brisk(p, begin)
			p.repeat(now.Add(time.Hour), 1, 0, time.Millisecond)
		}, 2, 100, 1 << 20, 29},
		{"a pool that was idle takes no more than it has slots for", func(p *pace) { p.age(brisk(p, begin).Add(2 * time.Second)) }, 16, 100, 1 << 20, 0},
		{"one that was idle for a moment goes on", func(p *pace) { p.age(brisk(p, begin).Add(time.Second / 2)) }, 2, 100, 1 << 20, 29},
		{"a run of no time at all is a short one", func(p *pace) { p.repeat(begin, 500, time.Millisecond, 0) }, 16, 1000, 1 << 20, 64},
	} {
		t.Run(row.fact, func(t *testing.T) {
			var p pace
			row.pace(&p)
			if got := p.room(row.slots, 30*time.Millisecond, row.most, row.mostBytes); got < row.want-1 || got > row.want+1 {
				t.Errorf("got %d, want %d; the pace is %+v", got, row.want, p)
			}
		})
	}
}
