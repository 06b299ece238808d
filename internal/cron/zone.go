package cron

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// reach is more than clocks of two zones differ, and more than clocks are ever put forward: Samoa left out a day.
const reach = 26 * time.Hour

// Zone is the time zone of a name in IANA's database; an empty name means UTC. A *[Fault] says that there is none.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if len(name) > MaxZoneBytes {
		return nil, &Fault{"timezone", fmt.Sprintf("must be at most %d bytes", MaxZoneBytes)}
	}
	if zone := load(name); zone != nil {
		return zone, nil
	}
	reason := fmt.Sprintf("%q is not the name of a time zone in IANA's database", printable(name))
	if likely := capitals(name); load(likely) != nil {
		return nil, &Fault{"timezone", reason + ": did you mean " + likely + "?"}
	}
	return nil, &Fault{"timezone", reason + ", as Europe/Berlin"}
}

// load is the zone of a name; nil: there is none. "Local" is not a zone but a setting of the machine, and those of "right" count leap seconds.
func load(name string) *time.Location {
	group, _, _ := strings.Cut(name, "/")
	for _, c := range name {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("_+-/", c) {
			return nil
		}
	}
	if strings.Contains("/"+name+"/", "//") || name == "Local" || name == "Factory" || group == "right" || group == "posix" || group == "posixrules" || group == "localtime" {
		return nil
	}
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	zones.Store(name, zone)
	return zone
}

// zones are those that were asked for, by name: reading one costs more than all else. There are some 600.
var zones sync.Map

// capitals is a name as names of zones are written: Europe/Berlin, America/Port_of_Spain, UTC.
func capitals(name string) string {
	if up := strings.ToUpper(name); len(name) <= 4 {
		return up
	}
	name = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(name), " ", "_"))
	out := []byte(name)
	for i, c := range out {
		if (i == 0 || out[i-1] == '/' || out[i-1] == '_') && c >= 'a' && c <= 'z' {
			out[i] = c - 'a' + 'A'
		}
	}
	text := strings.NewReplacer("_Of_", "_of_", "_Es_", "_es_", "_Au_", "_au_").Replace(string(out))
	return text
}

// wall is what a clock of t's zone reads at t, as if that were UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// read is when clocks of a zone first read w. If they never do, as they are put forward over it, it is when they would have if they had not been.
func read(w time.Time, zone *time.Location) time.Time {
	var before time.Duration // offset of the stretch before
	for t, first := w.Add(-reach).In(zone), true; ; first = false {
		_, seconds := t.Zone()
		offset := time.Duration(seconds) * time.Second
		_, end := t.ZoneBounds()
		at := w.Add(-offset).In(zone)
		switch {
		case !end.IsZero() && !at.Before(end): // clocks of this stretch don't get there
		case !first && at.Before(t):
			return w.Add(-before).In(zone)
		default:
			return at
		}
		t, before = end, offset
	}
}

// leftOut is by how much clocks were put forward within the time of reach before t.
func leftOut(t time.Time) time.Duration {
	start, _ := t.ZoneBounds()
	if start.IsZero() || t.Sub(start) > reach {
		return 0
	}
	_, after := start.Zone()
	_, before := start.Add(-time.Second).Zone()
	return time.Duration(max(after-before, 0)) * time.Second
}
