package cron_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/cron"
)

// parse is a schedule that must be right.
func parse(t testing.TB, text, zone string) *cron.Schedule {
	t.Helper()
	s, err := cron.Parse(text, zone)
	if err != nil {
		t.Fatalf("Parse(%q, %q): %v", text, zone, err)
	}
	return s
}

// shown are instants as clocks of their zone read.
func shown(list []time.Time) string {
	texts := make([]string, len(list))
	for i, at := range list {
		texts[i] = at.Format("2006-01-02 15:04 -0700")
	}
	return strings.Join(texts, ", ")
}

// clock is the moment of a text as 2026-03-29 01:59:00 +01:00.
func clock(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05 -07:00", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"30 2 * * *", "2026-11-29 02:30 +0000, 2026-11-30 02:30 +0000, 2026-12-01 02:30 +0000"},
		{"*/20 * * * *", "2026-11-29 00:20 +0000, 2026-11-29 00:40 +0000, 2026-11-29 01:00 +0000"},
		{"5,10 0-1 * * *", "2026-11-29 00:05 +0000, 2026-11-29 00:10 +0000, 2026-11-29 01:05 +0000"},
		{"0 9 * * MON-FRI", "2026-11-30 09:00 +0000, 2026-12-01 09:00 +0000, 2026-12-02 09:00 +0000"},
		{"0 9 * * 0", "2026-11-29 09:00 +0000, 2026-12-06 09:00 +0000, 2026-12-13 09:00 +0000"},
		{"0 9 * * 7", "2026-11-29 09:00 +0000, 2026-12-06 09:00 +0000, 2026-12-13 09:00 +0000"},
		{"0 9 * * 5-7", "2026-11-29 09:00 +0000, 2026-12-04 09:00 +0000, 2026-12-05 09:00 +0000"},
		{"0 0 1 jan *", "2027-01-01 00:00 +0000, 2028-01-01 00:00 +0000, 2029-01-01 00:00 +0000"},
		{"10/20 3 * * *", "2026-11-29 03:10 +0000, 2026-11-29 03:30 +0000, 2026-11-29 03:50 +0000"},
		{"0 0 29 2 *", "2028-02-29 00:00 +0000, 2032-02-29 00:00 +0000, 2036-02-29 00:00 +0000"},
		// Either day, if both are set: the 13th, and each Friday.
		{"0 0 13 * FRI", "2026-12-04 00:00 +0000, 2026-12-11 00:00 +0000, 2026-12-13 00:00 +0000"},
		// A field that begins with * is not set: odd days that are Fridays.
		{"0 0 */2 * FRI", "2026-12-11 00:00 +0000, 2026-12-25 00:00 +0000, 2027-01-01 00:00 +0000"},
		{"0 0 13 * */3", "2026-12-13 00:00 +0000, 2027-01-13 00:00 +0000, 2027-02-13 00:00 +0000"},
		{"0 0 1-31/2 * FRI", "2026-12-01 00:00 +0000, 2026-12-03 00:00 +0000, 2026-12-04 00:00 +0000"},
		{"@hourly", "2026-11-29 01:00 +0000, 2026-11-29 02:00 +0000, 2026-11-29 03:00 +0000"},
		{"@daily", "2026-11-30 00:00 +0000, 2026-12-01 00:00 +0000, 2026-12-02 00:00 +0000"},
		{"@Midnight", "2026-11-30 00:00 +0000, 2026-12-01 00:00 +0000, 2026-12-02 00:00 +0000"},
		{"@weekly", "2026-12-06 00:00 +0000, 2026-12-13 00:00 +0000, 2026-12-20 00:00 +0000"},
		{"@monthly", "2026-12-01 00:00 +0000, 2027-01-01 00:00 +0000, 2027-02-01 00:00 +0000"},
		{" @yearly ", "2027-01-01 00:00 +0000, 2028-01-01 00:00 +0000, 2029-01-01 00:00 +0000"},
		{"@annually", "2027-01-01 00:00 +0000, 2028-01-01 00:00 +0000, 2029-01-01 00:00 +0000"},
		// 40 years apart: 2100 has no 29 February.
		{"0 0 29 2 */7", "2032-02-29 00:00 +0000, 2060-02-29 00:00 +0000, 2088-02-29 00:00 +0000"},
	} {
		s := parse(t, c.text, "")
		if got := shown(cron.List(s, clock(t, "2026-11-29 00:00:00 +00:00"), 3)); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
	leap := parse(t, "0 0 29 2 */7", "").Next(clock(t, "2088-03-01 00:00:00 +00:00"))
	if got := leap.Format(time.DateOnly); got != "2128-02-29" {
		t.Errorf("the Sunday 29 February after that of 2088: %s, want 2128-02-29", got)
	}
}

// Every row: what clocks read around a change, and what becomes of a fixed hour and of real hours on that day.
func TestChangesOfClocks(t *testing.T) {
	for _, c := range []struct {
		zone, text string
		after      string // exclusive
		n          int
		want       string
	}{
		{"Europe/Berlin", "30 2 * * *", "2026-03-28 02:30:00 +01:00", 2, "2026-03-29 03:30 +0200, 2026-03-30 02:30 +0200"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24 02:30:00 +02:00", 2, "2026-10-25 02:30 +0200, 2026-10-26 02:30 +0100"},
		{"Europe/Berlin", "30 * * * *", "2026-03-29 01:00:00 +01:00", 2, "2026-03-29 01:30 +0100, 2026-03-29 03:30 +0200"},
		{"Europe/Berlin", "30 * * * *", "2026-10-25 01:45:00 +02:00", 3, "2026-10-25 02:30 +0200, 2026-10-25 02:30 +0100, 2026-10-25 03:30 +0100"},
		{"Europe/Berlin", "0 */2 * * *", "2026-03-29 00:30:00 +01:00", 2, "2026-03-29 04:00 +0200, 2026-03-29 06:00 +0200"},
		{"Europe/Berlin", "0 */2 * * *", "2026-10-25 00:30:00 +02:00", 3, "2026-10-25 02:00 +0200, 2026-10-25 02:00 +0100, 2026-10-25 04:00 +0100"},
		// Two readings that are one moment are one instant; those that are shifted come in order with those that are not.
		{"Europe/Berlin", "30 2,3 * * *", "2026-03-28 12:00:00 +01:00", 2, "2026-03-29 03:30 +0200, 2026-03-30 02:30 +0200"},
		{"Europe/Berlin", "45 2 * * *", "2026-03-29 03:15:00 +02:00", 1, "2026-03-29 03:45 +0200"},
		{"Europe/Berlin", "0,45 2-3 * * *", "2026-03-29 01:50:00 +01:00", 3, "2026-03-29 03:00 +0200, 2026-03-29 03:45 +0200, 2026-03-30 02:00 +0200"},
		{"Europe/Berlin", "*/30 2 * * *", "2026-03-28 12:00:00 +01:00", 3, "2026-03-29 03:00 +0200, 2026-03-29 03:30 +0200, 2026-03-30 02:00 +0200"},
		{"Europe/Berlin", "*/30 2 * * *", "2026-10-24 12:00:00 +02:00", 3, "2026-10-25 02:00 +0200, 2026-10-25 02:30 +0200, 2026-10-26 02:00 +0100"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25 02:10:00 +01:00", 1, "2026-10-26 02:30 +0100"}, // within the second pass
		{"America/New_York", "30 2 * * *", "2026-03-07 02:30:00 -05:00", 2, "2026-03-08 03:30 -0400, 2026-03-09 02:30 -0400"},
		{"America/New_York", "30 1 * * *", "2026-10-31 01:30:00 -04:00", 2, "2026-11-01 01:30 -0400, 2026-11-02 01:30 -0500"},
		{"America/New_York", "0 * * * *", "2026-11-01 00:30:00 -04:00", 3, "2026-11-01 01:00 -0400, 2026-11-01 01:00 -0500, 2026-11-01 02:00 -0500"},
		{"America/New_York", "0 * * * *", "2026-03-08 00:30:00 -05:00", 2, "2026-03-08 01:00 -0500, 2026-03-08 03:00 -0400"},
		// Half an hour.
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03 02:15:00 +10:30", 2, "2026-10-04 02:45 +1100, 2026-10-05 02:15 +1100"},
		{"Australia/Lord_Howe", "20,35 2 * * *", "2026-10-03 12:00:00 +10:30", 3, "2026-10-04 02:35 +1100, 2026-10-04 02:50 +1100, 2026-10-05 02:20 +1100"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04 01:45:00 +11:00", 2, "2026-04-05 01:45 +1100, 2026-04-06 01:45 +1030"},
		{"Australia/Lord_Howe", "*/15 * * * *", "2026-10-04 01:40:00 +10:30", 2, "2026-10-04 01:45 +1030, 2026-10-04 02:30 +1100"},
		{"Australia/Lord_Howe", "45 * * * *", "2026-04-05 01:40:00 +11:00", 3, "2026-04-05 01:45 +1100, 2026-04-05 01:45 +1030, 2026-04-05 02:45 +1030"},
		// At midnight: a day begins at one o'clock, and a day has its last hour twice.
		{"Africa/Cairo", "0 0 * * *", "2026-04-23 00:00:00 +02:00", 2, "2026-04-24 01:00 +0300, 2026-04-25 00:00 +0300"},
		{"Africa/Cairo", "30 23 * * *", "2026-10-29 12:00:00 +03:00", 2, "2026-10-29 23:30 +0300, 2026-10-30 23:30 +0200"},
		{"Africa/Cairo", "30 * * * *", "2026-10-29 23:00:00 +03:00", 3, "2026-10-29 23:30 +0300, 2026-10-29 23:30 +0200, 2026-10-30 00:30 +0200"},
		{"Africa/Cairo", "30 * * * *", "2026-04-23 23:00:00 +02:00", 2, "2026-04-23 23:30 +0200, 2026-04-24 01:30 +0300"},
		{"Asia/Beirut", "0 0 * * *", "2026-03-28 00:00:00 +02:00", 2, "2026-03-29 01:00 +0300, 2026-03-30 00:00 +0300"},
		{"Asia/Beirut", "@daily", "2026-10-24 00:00:00 +03:00", 2, "2026-10-25 00:00 +0200, 2026-10-26 00:00 +0200"},
		{"Asia/Beirut", "30 23 * * *", "2026-10-24 12:00:00 +03:00", 2, "2026-10-24 23:30 +0300, 2026-10-25 23:30 +0200"},
		{"Asia/Beirut", "0 * * * *", "2026-03-28 22:30:00 +02:00", 2, "2026-03-28 23:00 +0200, 2026-03-29 01:00 +0300"},
		// Samoa left out 30 December 2011. The instants of that day come a day later, where they may be those of that one.
		{"Pacific/Apia", "0 12 * * *", "2011-12-28 12:00:00 -10:00", 3, "2011-12-29 12:00 -1000, 2011-12-31 12:00 +1400, 2012-01-01 12:00 +1400"},
		{"Pacific/Apia", "0 12 30 * *", "2011-12-01 12:00:00 -10:00", 2, "2011-12-31 12:00 +1400, 2012-01-30 12:00 +1400"},
		{"Pacific/Apia", "0 */6 * * *", "2011-12-29 17:00:00 -10:00", 2, "2011-12-29 18:00 -1000, 2011-12-31 00:00 +1400"},
		{"Pacific/Apia", "0 */6 30 * *", "2011-12-29 12:00:00 -10:00", 1, "2012-01-30 00:00 +1400"},
		{"Pacific/Apia", "30 3 * * *", "2012-03-31 04:00:00 +14:00", 1, "2012-04-01 03:30 +1400"},
		// Two hours.
		{"Antarctica/Troll", "30 1 * * *", "2026-03-28 12:00:00 +00:00", 2, "2026-03-29 03:30 +0200, 2026-03-30 01:30 +0200"},
		{"Antarctica/Troll", "30 2 * * *", "2026-10-24 12:00:00 +02:00", 2, "2026-10-25 02:30 +0200, 2026-10-26 02:30 +0000"},
		{"Antarctica/Troll", "0 * * * *", "2026-10-25 00:30:00 +02:00", 5, "2026-10-25 01:00 +0200, 2026-10-25 02:00 +0200, 2026-10-25 01:00 +0000, 2026-10-25 02:00 +0000, 2026-10-25 03:00 +0000"},
		// Clocks are put back in Ramadan, and Irish winter time is the exception in the database.
		{"Africa/Casablanca", "30 2 * * *", "2026-02-14 12:00:00 +01:00", 2, "2026-02-15 02:30 +0100, 2026-02-16 02:30 +0000"},
		{"Africa/Casablanca", "30 2 * * *", "2026-03-21 12:00:00 +00:00", 2, "2026-03-22 03:30 +0100, 2026-03-23 02:30 +0100"},
		{"Europe/Dublin", "30 1 * * *", "2026-03-28 12:00:00 +00:00", 2, "2026-03-29 02:30 +0100, 2026-03-30 01:30 +0100"},
		{"Europe/Dublin", "30 1 * * *", "2026-10-24 12:00:00 +01:00", 2, "2026-10-25 01:30 +0100, 2026-10-26 01:30 +0000"},
		{"America/Santiago", "0 0 * * *", "2026-09-05 00:00:00 -04:00", 2, "2026-09-06 01:00 -0300, 2026-09-07 00:00 -0300"},
		{"America/Santiago", "30 23 * * *", "2026-04-04 12:00:00 -03:00", 2, "2026-04-04 23:30 -0300, 2026-04-05 23:30 -0400"},
		{"America/Sao_Paulo", "@daily", "2018-11-03 00:00:00 -03:00", 2, "2018-11-04 01:00 -0200, 2018-11-05 00:00 -0200"},
		{"America/Sao_Paulo", "30 23 * * *", "2018-02-17 12:00:00 -02:00", 2, "2018-02-17 23:30 -0200, 2018-02-18 23:30 -0300"},
		// None.
		{"Asia/Kathmandu", "30 2 * * *", "2026-03-28 12:00:00 +05:45", 2, "2026-03-29 02:30 +0545, 2026-03-30 02:30 +0545"},
	} {
		s := parse(t, c.text, c.zone)
		list := cron.List(s, clock(t, c.after), c.n)
		if got := shown(list); got != c.want {
			t.Errorf("%s %q after %s:\n got %s\nwant %s", c.zone, c.text, c.after, got, c.want)
		}
		for i := 1; i < len(list); i++ {
			if got := s.Prev(list[i]); !got.Equal(list[i-1]) {
				t.Errorf("%s %q: before %s: %s, want %s", c.zone, c.text, list[i], got, list[i-1])
			}
		}
	}
}

func TestPrev(t *testing.T) {
	for _, c := range []struct{ text, before, want string }{
		{"0 2 * * *", "2026-11-29 02:00:00 +00:00", "2026-11-28 02:00 +0000"},
		{"0 2 * * *", "2026-11-29 02:00:01 +00:00", "2026-11-29 02:00 +0000"},
		{"* * * 1 *", "2026-11-29 02:00:00 +00:00", "2026-01-31 23:59 +0000"},
		{"0 0 29 2 *", "2028-02-29 00:00:00 +00:00", "2024-02-29 00:00 +0000"},
		{"0 0 29 2 */7", "2128-02-29 00:00:00 +00:00", "2088-02-29 00:00 +0000"},
	} {
		if got := shown([]time.Time{parse(t, c.text, "").Prev(clock(t, c.before))}); got != c.want {
			t.Errorf("%q before %s: %s, want %s", c.text, c.before, got, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ text, zone, want string }{
		{"", "", "cron: is empty: five fields, as 0 2 * * *"},
		{"* * * *", "", "cron: must have five fields - minute, hour, day of the month, month, day of the week - not 4"},
		{"0 0 2 * * *", "", "not 6"},
		{"@reboot", "", `cron: knows no "@reboot", only @hourly,`},
		{"@every 1h", "", "not 2"},
		{"60 24 0 13 8", "", `cron: minute "60": must be *, numbers from 0 to 59, ranges of them as a-b, and steps behind a /; cron: hour "24": must be`},
		{"60 24 0 13 8", "", `cron: day of the month "0": `},
		{"60 24 0 13 8", "", `cron: month "13": must be *, numbers from 1 to 12 or JAN to DEC,`},
		{"60 24 0 13 8", "", `cron: day of the week "8": must be *, numbers from 0 to 7 or SUN to SAT,`},
		{"0 0 30 2 *", "", "cron: never fires: no day of any year fits"},
		{"0 0 31 2,4,6,9,11 *", "", "cron: never fires"},
		{"0 0 30 2 */2", "", "cron: never fires"},
		{"1,,2 0 * * *", "", `minute "1,,2": a part between commas is empty`},
		{"0 22-2 * * *", "", `hour "22-2": the range 22-2 runs backwards: write it as two`},
		{"0 0 * * FRI-MON", "", "the range FRI-MON runs backwards"},
		{"*/0 0 * * *", "", "the step must be a number that is not greater than the range, 1 to 59"},
		{"*/60 0 * * *", "", "the step must be a number"},
		{"*/x 0 * * *", "", "the step must be a number"},
		{"5/ 0 * * *", "", "the step must be a number"},
		{"*/5/5 0 * * *", "", "the step must be a number"},
		{"*-5 0 * * *", "", `minute "*-5": must be`},
		{"-5 0 * * *", "", `minute "-5": must be`},
		{"5- 0 * * *", "", `minute "5-": must be`},
		{"1-2-3 0 * * *", "", `minute "1-2-3": must be`},
		{"+5 0 * * *", "", `minute "+5": must be`},
		{"0 0 ? * *", "", `day of the month "?": must be`},
		{"0 0 L * *", "", `day of the month "L": must be`},
		{"0 0 15W * *", "", `day of the month "15W": must be`},
		{"0 0 * * 5#3", "", `day of the week "5#3": must be`},
		{"H 0 * * *", "", `minute "H": must be`},
		{"TZ=UTC 0 0 * * *", "", "not 6"},
		{"TZ=UTC 0 * * *", "", `minute "TZ=UTC": must be`},
		{"0 0 * * MONDAY", "", `day of the week "MONDAY": must be`},
		{"\x00 \xff 0 * *", "", "minute \"\uFFFD\""},
		{strings.Repeat("1,", 200) + "1 0 * * *", "", "cron: must be at most 255 bytes"},
		{"0 2 * * *", "Europe/Berlln", `timezone: "Europe/Berlln" is not the name of a time zone in IANA's database, as Europe/Berlin`},
		{"0 2 * * *", "europe/berlin", "did you mean Europe/Berlin?"},
		{"0 2 * * *", "america/port of spain", "did you mean America/Port_of_Spain?"},
		{"0 2 * * *", "utc", "did you mean UTC?"},
		{"0 2 * * *", "Local", "is not the name"},
		{"0 2 * * *", "right/Europe/Berlin", "is not the name"},
		{"0 2 * * *", "Europe//Berlin", "is not the name"},
		{"0 2 * * *", "../etc/passwd", "is not the name"},
		{"0 2 * * *", "/etc/localtime", "is not the name"},
		{"0 2 * * *", "+02:00", "is not the name"},
		{"0 2 * * *", strings.Repeat("A", 65), "timezone: must be at most 64 bytes"},
		{"0 25 * * *", "Mars/Olympus", "; timezone: "},
	} {
		_, err := cron.Parse(c.text, c.zone)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%q, %q): %v, want %s", c.text, c.zone, err, c.want)
		}
		if faults := (cron.Faults)(nil); !errors.As(err, &faults) {
			t.Errorf("Parse(%q, %q): %T", c.text, c.zone, err)
		}
	}
}

func TestEvery(t *testing.T) {
	for text, want := range map[string]time.Duration{"90": 90 * time.Second, "1h30m": 90 * time.Minute, "1s": time.Second, "8784h": cron.MaxEvery} {
		if got, err := cron.ParseEvery(text); err != nil || got != want {
			t.Errorf("ParseEvery(%q): %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": `every: "" is not a time as 90 (seconds), 90s or 1h30m`, "1d": "is not a time", "-1h": "is not a time", "1.5": "is not a time",
		"0": "whole seconds", "500ms": "whole seconds", "1.5s": "whole seconds", "9000h": "whole seconds", strings.Repeat("9", 30): "is not a time", strings.Repeat("9", 300): "is not a time",
	} {
		if _, err := cron.ParseEvery(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseEvery(%q): %v, want %s", text, err, want)
		}
	}
	p := cron.Period{From: clock(t, "2026-11-29 06:00:30 +00:00").Add(5 * time.Millisecond), Every: 90 * time.Minute}
	for _, c := range []struct{ at, prev, next time.Duration }{
		{0, -90 * time.Minute, 90 * time.Minute},
		{1, 0, 90 * time.Minute},
		{-1, -90 * time.Minute, 0},
		{time.Hour, 0, 90 * time.Minute},
		{90 * time.Minute, 0, 180 * time.Minute},
		{-10 * time.Hour, -630 * time.Minute, -540 * time.Minute},
	} {
		if got := p.Next(p.From.Add(c.at)); !got.Equal(p.From.Add(c.next)) {
			t.Errorf("after %v: %v, want %v", c.at, got.Sub(p.From), c.next)
		}
		if got := p.Prev(p.From.Add(c.at)); !got.Equal(p.From.Add(c.prev)) {
			t.Errorf("before %v: %v, want %v", c.at, got.Sub(p.From), c.prev)
		}
	}
	old := cron.Period{From: clock(t, "1500-01-01 00:00:00 +00:00"), Every: time.Hour}
	if got := old.Next(clock(t, "2026-11-29 06:20:00 +00:00")); !got.Equal(clock(t, "2026-11-29 07:00:00 +00:00")) {
		t.Errorf("centuries later: %v", got)
	}
}

func TestDue(t *testing.T) {
	for _, c := range []struct{ text, zone, began, want string }{
		{"2h", "", "2026-11-29 02:00:00 +00:00", "2026-11-29 04:00 +0000"},
		{"7200", "", "2026-11-29 02:00:00 +00:00", "2026-11-29 04:00 +0000"},
		{"06:00", "Europe/Berlin", "2026-11-29 02:00:00 +01:00", "2026-11-29 06:00 +0100"},
		{"6:00", "Europe/Berlin", "2026-11-29 06:00:00 +01:00", "2026-11-30 06:00 +0100"},
		{"02:30", "Europe/Berlin", "2026-03-29 01:00:00 +01:00", "2026-03-29 03:30 +0200"},
		{"02:30", "Europe/Berlin", "2026-10-25 01:00:00 +02:00", "2026-10-25 02:30 +0200"},
	} {
		d, err := cron.ParseDue(c.text, c.zone)
		if err != nil {
			t.Errorf("ParseDue(%q): %v", c.text, err)
			continue
		}
		if got := shown([]time.Time{d.At(clock(t, c.began))}); got != c.want {
			t.Errorf("due %s after %s: %s, want %s", c.text, c.began, got, c.want)
		}
	}
	for _, text := range []string{"", "soon", "0", "-2h", "9000h", "24:00", "06:60", "6:0", "006:00", "06:00:00", ":", "6:", "+6:00"} {
		if _, err := cron.ParseDue(text, ""); err == nil || !strings.HasPrefix(err.Error(), "due: ") {
			t.Errorf("ParseDue(%q): %v", text, err)
		}
	}
	if _, err := cron.ParseDue("06:00", "Mars/Olympus"); err == nil || !strings.HasPrefix(err.Error(), "timezone: ") {
		t.Errorf("a zone that is none: %v", err)
	}
}

// Instants that are decades apart are found as fast as others: a change of clocks costs nothing that lies between them.
func TestRareInstantsAreFoundFast(t *testing.T) {
	s := parse(t, "*/30 */12 29 2 */7", "Europe/Berlin")
	began := time.Now()
	if got := shown([]time.Time{s.Next(clock(t, "2032-02-29 12:30:00 +01:00")), s.Prev(clock(t, "2060-02-29 00:00:00 +01:00"))}); got != "2060-02-29 00:00 +0100, 2032-02-29 12:30 +0100" {
		t.Error(got)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestListIsBounded(t *testing.T) {
	if n := len(cron.List(parse(t, "* * * * *", ""), time.Now(), 1<<40)); n != cron.MaxList {
		t.Errorf("%d instants, want %d", n, cron.MaxList)
	}
	if n := len(cron.List(parse(t, "* * * * *", ""), time.Now(), -1)); n != 0 {
		t.Errorf("%d instants, want none", n)
	}
}
