package cron_test

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/cron"
)

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"30 2 * * *", "*/5 * * * *", "0 0 29 2 */7"} {
		s := parse(b, text, "Europe/Berlin")
		b.Run(text, func(b *testing.B) {
			at := time.Unix(1_774_700_000, 0)
			for b.Loop() {
				s.Next(at)
			}
		})
	}
}

func BenchmarkPrev(b *testing.B) {
	s := parse(b, "30 2 * * *", "Europe/Berlin")
	at := time.Unix(1_774_700_000, 0)
	for b.Loop() {
		s.Prev(at)
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := cron.Parse("30 2 * * MON-FRI", "Europe/Berlin"); err != nil {
			b.Fatal(err)
		}
	}
}
