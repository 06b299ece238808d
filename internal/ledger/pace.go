package ledger

import "time"

// ahead is how much work the line of a pool may hold where an attempt may wait in it for so long: what starts within that time, 30 ms by
// default. It is more than a take and a claim take under load, so that slots don't wait for them.
func ahead(wait time.Duration) time.Duration { return wait * 3 / 10 }

// measured is the least time over which the rate of a pool is measured.
const measured = 10 * time.Millisecond

// enough is how many runs the rate must be of.
const enough = 8

// burst is how many times the rate that the slots can hold counts: runs that end together make a high one, and then none ends for long.
const burst = 4

// floorFor is how many attempts for each slot may be in line before the rate of starts is known, if runs are short enough.
const floorFor = 4

// pace is how fast a pool's slots take the next attempt. The zero pace knows nothing: then nothing is claimed ahead.
type pace struct {
	ran      time.Duration // moving average of runs; zero: none was seen
	rate     float64       // runs in a second, a moving average
	runs     int           // since the last measurement
	since    time.Time     // of the last measurement; zero: there was none
	bytes    int           // of a message: the largest, slowly forgotten
	strained time.Time     // runs were longer than those before; for a second after, only the rate counts
}

// end notes a run that has ended.
func (p *pace) end(now time.Time, ran time.Duration) {
	if ran = max(ran, time.Microsecond); p.ran == 0 {
		p.ran = ran
	} else {
		p.ran += (ran - p.ran) / 16
	}
	p.runs++
	switch took := now.Sub(p.since); {
	case p.since.IsZero() || took > time.Second: // idle meanwhile
		p.since, p.runs = now, 0
	case took >= measured && p.runs >= enough:
		p.rate += (float64(p.runs)/took.Seconds() - p.rate) / 2
		p.since, p.runs = now, 0
	}
	if now.Sub(p.strained) > time.Second {
		p.strained = time.Time{}
	}
}

// message notes the size of one that was taken.
func (p *pace) message(bytes int) { p.bytes = max(bytes, p.bytes-p.bytes/64) }

// age forgets the pace of a pool that was idle for a second.
func (p *pace) age(now time.Time) {
	if now.Sub(p.since) > time.Second {
		p.rate = 0
	}
}

// strain notes that what was in line did not start in time.
func (p *pace) strain(now time.Time) { p.rate, p.strained = p.rate/2, now }

// room is how many attempts may be in line: what starts within ahead.
func (p *pace) room(slots int, ahead time.Duration, most, mostBytes int) int {
	if p.ran == 0 {
		return 0
	}
	n := int(min(p.rate, burst*float64(slots)/p.ran.Seconds()) * ahead.Seconds())
	if n < slots/2 || n == 0 {
		return 0 // a slot is free often enough without
	}
	if p.strained.IsZero() {
		n = max(n, int(float64(slots)*min(floorFor, float64(ahead)/float64(p.ran))))
	}
	return min(n, most, mostBytes/max(1, p.bytes))
}
