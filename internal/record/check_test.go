package record

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func key(t testing.TB, secret string) Key {
	t.Helper()
	k, err := NewKey(strings.Repeat(secret, MinKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// chain is a chain of n entries by a key.
func chain(k Key, n int) (all []*Entry) {
	head := Head{}
	for i := range n {
		e := &Entry{At: At(time.Unix(int64(i), 5000)), Kind: Begun, Method: "Cancel", Task: fmt.Sprint("t", i), Count: 1, Details: map[string]string{"b": "2", "a": "1"}}
		head = k.Append(head, e)
		all = append(all, e)
	}
	return all
}

// check gives the kinds of faults.
func check(c *Checker, all []*Entry) (kinds []string) {
	var faults []Fault
	for _, e := range all {
		faults = append(faults, c.Add(e)...)
	}
	for _, f := range append(faults, c.End()...) {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

// TestTamperingIsFound: each kind of tampering is found, also by who rehashes all but has no key, and nothing is found in what nobody touched.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	with, without := key(t, "k"), Key{}
	rehash := func(k Key, all []*Entry) []*Entry {
		head := Head{Seq: all[0].Seq - 1, Hash: all[0].Prev}
		for _, e := range all {
			head = k.Append(head, e)
		}
		return all
	}
	tail := func(all []*Entry) Head { last := all[len(all)-1]; return Head{last.Seq, last.Hash} }
	trim := func(k Key, all []*Entry, through int) []*Entry {
		e := &Entry{Kind: Happened, Method: Trimmed, Details: map[string]string{Through: fmt.Sprint(through), ThroughHash: all[through-1].Hash.String()}}
		k.Append(tail(all), e)
		return append(slices.Clone(all[through:]), e)
	}
	tests := []struct {
		name   string
		tamper func(k Key, all []*Entry) []*Entry
		want   string // the first fault; empty: none
		noted  bool   // only who noted a head finds it
		keyed  bool   // only a key makes it found
	}{
		{"nothing", func(_ Key, all []*Entry) []*Entry { return all }, "", false, false},
		{"trimmed", func(k Key, all []*Entry) []*Entry { return trim(k, all, 4) }, "", false, false},
		{"trimmed while it is read", func(k Key, all []*Entry) []*Entry { return append(all[:2:2], trim(k, all, 4)...) }, "", false, false},
		{"trimmed, and cut off further", func(k Key, all []*Entry) []*Entry { return trim(k, all, 4)[1:] }, FaultTrimmed, false, false},
		{"an edited field", func(_ Key, all []*Entry) []*Entry { all[3].Task = "other"; return all }, FaultEdited, false, false},
		{"an edited detail", func(_ Key, all []*Entry) []*Entry { all[3].Details["a"] = "3"; return all }, FaultEdited, false, false},
		{"bytes moved between fields", func(_ Key, all []*Entry) []*Entry { all[3].Method, all[3].Permission = "Cance", "l"; return all }, FaultEdited, false, false},
		{"an edit with a new hash", func(k Key, all []*Entry) []*Entry { all[3].Task = "other"; rehash(k, all[3:4]); return all }, FaultLink, false, false},
		{"a deleted entry", func(_ Key, all []*Entry) []*Entry { return slices.Delete(all, 3, 4) }, FaultMissing, false, false},
		{"a deleted beginning", func(_ Key, all []*Entry) []*Entry { return all[3:] }, FaultTrimmed, false, false},
		{"an inserted entry", func(_ Key, all []*Entry) []*Entry { one := *all[3]; return slices.Insert(all, 4, &one) }, FaultOrder, false, false},
		{"two entries in each other's place", func(_ Key, all []*Entry) []*Entry { all[3], all[4] = all[4], all[3]; return all }, FaultOrder, false, false},
		{"two entries with each other's number", func(_ Key, all []*Entry) []*Entry {
			all[3], all[4] = all[4], all[3]
			all[3].Seq, all[4].Seq = 4, 5
			return all
		}, FaultLink, false, false},
		{"a cut end", func(_ Key, all []*Entry) []*Entry { return all[:6] }, FaultHead, true, false},
		{"an edit with all hashes made anew", func(_ Key, all []*Entry) []*Entry { all[3].Task = "other"; return rehash(Key{}, all) }, FaultHead, true, false},
		{"hashes made anew without the key", func(_ Key, all []*Entry) []*Entry { all[3].Task = "other"; return rehash(Key{}, all) }, FaultKey, false, true},
		{"an end without the key", func(_ Key, all []*Entry) []*Entry { rehash(Key{}, all[7:]); return all }, FaultKey, false, true},
		{"hashes made anew by another key", func(_ Key, all []*Entry) []*Entry { return rehash(key(t, "x"), all) }, FaultKey, false, true},
	}
	for _, tt := range tests {
		for _, k := range []Key{with, without} {
			if tt.keyed && k.ID() == "" {
				continue
			}
			all := chain(k, 10)
			keys := Keys{k}
			if k.ID() == "" {
				keys = nil
			}
			var heads []Head
			if tt.noted {
				heads = append(heads, tail(all))
			}
			got := check(NewChecker(keys, false, heads...), tt.tamper(k, all))
			if tt.want == "" && len(got) > 0 || tt.want != "" && !slices.Contains(got, tt.want) {
				t.Errorf("%s, %s: found %v, want %q", tt.name, k, got, tt.want)
			}
		}
	}
}

// TestKeysChange: entries by older keys hold as long as the keys are given, and what was before the first key may have none.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	first, second := key(t, "1"), key(t, "2")
	all := chain(Key{}, 3)
	for i, k := range []Key{first, first, second} {
		e := &Entry{Seq: int64(i), Kind: Refused}
		k.Append(Head{all[len(all)-1].Seq, all[len(all)-1].Hash}, e)
		all = append(all, e)
	}
	if got := check(NewChecker(Keys{second, first}, false), all); got != nil {
		t.Errorf("with both keys: found %v", got)
	}
	if got := check(NewChecker(Keys{second}, false), all); len(got) != 2 || got[0] != FaultKey {
		t.Errorf("without the older key: found %v", got)
	}
	c := NewChecker(nil, false)
	if got := check(c, all); got != nil {
		t.Errorf("without keys: found %v", got)
	}
	if _, unchecked := c.Entries(); unchecked != 3 {
		t.Errorf("without keys %d are unchecked, want 3", unchecked)
	}
	if got := check(NewChecker(nil, true), []*Entry{all[0], all[2], all[5]}); got != nil {
		t.Errorf("a part: found %v", got)
	}
}

// TestEncodingStays: the bytes that are hashed are those that docs/audit.md describes, for ever.
func TestEncodingStays(t *testing.T) {
	t.Parallel()
	e := &Entry{Seq: 2, At: At(time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)), Kind: Ended, Of: 1, Namespace: "default", Method: "Cancel", Outcome: Failed, Code: "not_found",
		Caller: Caller{Kind: "user", Name: "ann"}, Task: "t", Count: 1, Details: map[string]string{"b": "", "a": "é"}}
	want := "17taskgrove.audit.1|1:2|27:2026-01-02T03:04:05.678901Z|"
	texts := []string{"taskgrove.audit.1", "2", "2026-01-02T03:04:05.678901Z", "ended", "1", "default", "Cancel", "", "failed", "not_found", "", "user", "ann", "", "", "", "", "",
		"t", "", "1", "", "", "2", "a", "é", "b", ""}
	var bytes []byte
	for _, text := range texts {
		bytes = append(bytes, 0, 0, 0, byte(len(text)))
		bytes = append(bytes, text...)
	}
	if got := e.Encode(); string(got) != string(bytes) {
		t.Errorf("got %q, want %q (%s)", got, bytes, want)
	}
	Key{}.Append(Head{1, Sum{7}}, e)
	if want := sha256.Sum256(append(append([]byte{7}, make([]byte, 31)...), bytes...)); e.Hash != Sum(want) {
		t.Errorf("got the hash %s, want %x", e.Hash, want)
	}
	k := key(t, "s")
	mac := hmac.New(sha256.New, []byte(strings.Repeat("s", MinKey)))
	mac.Write([]byte("taskgrove.audit.key"))
	if want := hex.EncodeToString(mac.Sum(nil))[:16]; k.ID() != want {
		t.Errorf("the key has the id %s, want %s", k.ID(), want)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, Keys{k}); strings.Contains(text, "ssss") {
		t.Errorf("a key shows: %s", text)
	}
}

// TestLinesAreReadAsTheyWereWritten: a line of JSON has all that is hashed.
func TestLinesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	k := key(t, "k")
	all := chain(k, 3)
	var read []*Entry
	for _, e := range all {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		one := &Entry{}
		if err := json.Unmarshal(line, one); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		read = append(read, one)
	}
	if got := check(NewChecker(Keys{k}, false, Head{3, all[2].Hash}), read); got != nil {
		t.Errorf("found %v", got)
	}
	head := Head{3, all[2].Hash}
	if got, err := ParseHead(head.String()); got != head || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "3", "3:", "x:" + head.Hash.String(), "0:" + head.Hash.String(), "3:" + head.Hash.String()[1:], head.String() + "0"} {
		if _, err := ParseHead(bad); err == nil {
			t.Errorf("%q is taken for a head", bad)
		}
	}
	for _, bad := range []string{"", "short", strings.Repeat("k\n", 40)} {
		if _, err := ParseKeys(bad); err == nil {
			t.Errorf("%q is taken for keys", bad)
		}
	}
}
