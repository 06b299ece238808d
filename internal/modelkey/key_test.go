package modelkey_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/modelkey"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, openai, groq string }{
		{"sk-1", "sk-1", "sk-1"}, {"openai:sk-1", "sk-1", ""}, {"OpenAI:sk:1", "sk:1", ""}, {"groq:sk-1", "", "sk-1"},
		{":sk-1", ":sk-1", ":sk-1"}, {"sk-1:", "sk-1:", "sk-1:"}, {"", "", ""},
	} {
		key, err := modelkey.Parse(tt.text)
		if err != nil || key.For("openai") != tt.openai || key.For("Groq") != tt.groq || key.Given() != (tt.text != "") {
			t.Errorf("%q: got %q, %q, %v", tt.text, key.For("openai"), key.For("Groq"), err)
		}
		if again, err := modelkey.Parse(key.Text()); err != nil || again != key {
			t.Errorf("%q: read again it is %q, %v", tt.text, again.Text(), err)
		}
	}
	for _, bad := range []string{"SHOWN\n", "SHOWN x", "SHOWN\x00", "SHOWNé", strings.Repeat("SHOWN", 1000)} {
		if _, err := modelkey.Parse(bad); err == nil || strings.Contains(err.Error(), "SHOWN") {
			t.Errorf("%.20q: got %v", bad, err)
		}
	}
}

func TestKeysDoNotShowThemselves(t *testing.T) {
	t.Parallel()
	key, err := modelkey.Parse("shown-provider:shown")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	in := struct{ Key modelkey.Key }{key}
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "in", in)
	encoded, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s %q %x %d", key, key, key, key, key, key, key), fmt.Sprintf("%+v %#v %v", in, in, &in), log.String(), string(encoded),
	} {
		if strings.Contains(text, "shown") || strings.Contains(text, fmt.Sprintf("%x", "shown")) {
			t.Errorf("it shows: %s", text)
		}
	}
}

func TestSealedKeysAreForOneOpener(t *testing.T) {
	t.Parallel()
	key, err := modelkey.Parse("openai:sk-1")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := modelkey.NewOpener()
	if err != nil {
		t.Fatal(err)
	}
	other, err := modelkey.NewOpener()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := modelkey.Seal(key, mine.Public())
	if err != nil || strings.Contains(string(sealed), "sk-1") {
		t.Fatalf("sealed it is %q, %v", sealed, err)
	}
	if got, err := mine.Open(sealed); err != nil || got != key {
		t.Errorf("opened it is %q, %v", got.Text(), err)
	}
	if _, err := other.Open(sealed); err == nil {
		t.Error("another opened it")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := mine.Open(sealed); err == nil {
		t.Error("a changed one was opened")
	}
	if _, err := modelkey.Seal(key, []byte("short")); err == nil {
		t.Error("sealed for a public key of 5 bytes")
	}
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	var k modelkey.Keeper
	one, _ := modelkey.Parse("one")
	two, _ := modelkey.Parse("two")
	if _, _, ok := k.Get(1); ok {
		t.Error("an empty keeper has a key")
	}
	k.Put(1, 1, one)
	k.Put(1, 2, two)
	if key, run, ok := k.Get(1); !ok || key != two || run != 2 {
		t.Errorf("got %q of %d, %v", key.Text(), run, ok)
	}
	between := time.Now()
	for between.Equal(time.Now()) {
	}
	k.Put(2, 1, one)
	if got := k.Before(between.Add(1)); !slices.Equal(got, []int64{1}) {
		t.Errorf("before are %v", got)
	}
	k.Drop([]int64{1, 2}, between.Add(1))
	if _, _, ok := k.Get(1); ok {
		t.Error("a dropped key is there")
	}
	if _, _, ok := k.Get(2); !ok {
		t.Error("a later key was dropped")
	}
	for id := range int64(modelkey.MaxKept) {
		k.Put(100+id, 1, one)
	}
	if _, _, ok := k.Get(2); ok {
		t.Error("the oldest of too many is there")
	}
	if _, _, ok := k.Get(100); !ok {
		t.Error("the second oldest is not there")
	}
}
