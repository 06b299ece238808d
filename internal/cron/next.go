package cron

import "time"

// Next is the first instant after a moment, in the zone of the schedule; the zero time if none comes within 40 years.
func (s *Schedule) Next(after time.Time) time.Time {
	if s.fixed {
		return s.nextFixed(after.In(s.zone))
	}
	return s.nextReal(after.In(s.zone))
}

// nextReal goes from one change of clocks to the next: between two of them, clocks and time run alike.
func (s *Schedule) nextReal(after time.Time) time.Time {
	most := after.Year() + maxYears
	for t, w := after, wall(after); ; {
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		next := s.spec.next(w)
		if next.IsZero() || next.Year() > most {
			return time.Time{}
		}
		at := next.Add(-time.Duration(offset) * time.Second).In(s.zone)
		if end.IsZero() || at.Before(end) {
			return at
		}
		// What clocks read at the change may fit, too. If that is far off, it repeats nothing that was read since t, and all changes before the next reading
		// are passed.
		if far := next.Add(-reach).In(s.zone); end.Sub(t) > reach && far.After(end) {
			t, w = far, wall(far)
		} else {
			t, w = end, wall(end).Add(-time.Nanosecond)
		}
	}
}

// nextFixed goes over what clocks read. Readings that are left out come later than others that are greater, so it goes on until no earlier one can follow.
func (s *Schedule) nextFixed(after time.Time) (best time.Time) {
	for w := s.spec.next(wall(after).Add(-leftOut(after))); !w.IsZero(); w = s.spec.next(w) {
		if !best.IsZero() && !w.Before(wall(best)) {
			break
		}
		if at := read(w, s.zone); at.After(after) && (best.IsZero() || at.Before(best)) {
			if best = at; wall(at).Equal(w) { // it is not shifted
				break
			}
		}
	}
	return best
}

// Prev is the last instant before a moment, in the zone of the schedule; the zero time if none came within 40 years.
func (s *Schedule) Prev(before time.Time) time.Time {
	passed := func(t time.Time) bool { // an instant lies between t and before
		next := s.Next(t)
		return !next.IsZero() && next.Before(before)
	}
	high := before
	for back := time.Hour; ; back *= 8 {
		low := before.Add(-back)
		if passed(low) {
			for high.Sub(low) > time.Second {
				if middle := low.Add(high.Sub(low) / 2); passed(middle) {
					low = middle
				} else {
					high = middle
				}
			}
			return s.Next(low)
		}
		if back > (maxYears+1)*366*24*time.Hour {
			return time.Time{}
		}
		high = low
	}
}

// Zone is the schedule's.
func (s *Schedule) Zone() *time.Location { return s.zone }

// Instants are moments in order.
type Instants interface {
	// Next is the first one after a moment; the zero time: there is none.
	Next(after time.Time) time.Time
}

// List is the next instants after a moment: at most n, and never more than [MaxList].
func List(of Instants, after time.Time, n int) []time.Time {
	n = min(n, MaxList)
	list := make([]time.Time, 0, max(n, 0))
	for len(list) < n {
		after = of.Next(after)
		if after.IsZero() || after.Year() > 9999 { // which can't be written
			break
		}
		list = append(list, after)
	}
	return list
}
