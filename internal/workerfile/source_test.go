package workerfile

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestChangedFileCountsWithoutARestart: a good version replaces the one before, a faulty one does not.
func TestChangedFileCountsWithoutARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker.yaml")
	write := func(text string) {
		t.Helper()
		next := path + ".next"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	write("pools: {a: {proxy: 'http://one'}}\n")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := At(path)
		if err := s.Load(slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		is := func(fact, proxy, fault string) {
			t.Helper()
			if got := s.File().Pool("a").Proxy; got != proxy {
				t.Errorf("%s: got %q, want %q", fact, got, proxy)
			}
			if err := s.Fault(); (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: fault %v, want %q", fact, err, fault)
			}
		}
		is("the first version", "http://one", "")
		write("pools: {a: {proxy: 'http://two'}}\n")
		is("not looked at again within a second", "http://one", "")
		time.Sleep(lookEvery)
		is("the second version", "http://two", "")
		write("pools: {a: {prxy: 'http://three'}}\n")
		time.Sleep(lookEvery)
		is("a faulty version", "http://two", "pools.a.prxy: unknown key")
		time.Sleep(lookEvery)
		is("the same faulty version", "http://two", "pools.a.prxy: unknown key")
		write("pools: {a: {proxy: 'http://three', docker: {images: [Alpine]}}}\n")
		time.Sleep(lookEvery)
		is("a pattern that can't be read", "http://two", ":1:54: pools.a.docker.images[0]: want repository")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		is("no file", "http://two", "no such file")
		write("pools: {a: {proxy: 'http://four'}}\n")
		time.Sleep(lookEvery)
		is("a good version again", "http://four", "")
		if got := strings.Count(log.String(), "does not count"); got != 3 {
			t.Errorf("%d lines about faults, want one for each:\n%s", got, log.String())
		}
	})
}

func TestNoFile(t *testing.T) {
	for fact, s := range map[string]*Source{"nil": nil, "no path": At("")} {
		if err := s.Load(nil); err != nil || s.File() == nil || s.Fault() != nil {
			t.Errorf("%s: %v, %v, %v", fact, err, s.File(), s.Fault())
		}
	}
	if err := At(filepath.Join(t.TempDir(), "x")).Load(nil); err == nil || !os.IsNotExist(err) {
		t.Errorf("missing: %v", err)
	}
	if err := At(t.TempDir()).Load(nil); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("directory: %v", err)
	}
}

func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "worker.yaml")
	if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
		b.Fatal(err)
	}
	s := At(path)
	if err := s.Load(nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.File().Pool("etl")
	}
}
