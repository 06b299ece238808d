package modelkey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/modelkey"
)

func parsed(t *testing.T, text string) modelkey.Key {
	t.Helper()
	key, err := modelkey.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// texts are keys in plain text.
func texts(keys []modelkey.Key) (out []string) {
	for _, key := range keys {
		out = append(out, key.Text())
	}
	return out
}

func TestKeysOfUsers(t *testing.T) {
	t.Parallel()
	u := modelkey.NewUsers("one")
	for _, row := range [][3]string{{"amy", "", "any"}, {"amy", "OpenAI", "first"}, {"amy", "openai", "second"}, {"amy", "", "groq:third"}, {"bob", "openai", "his"}} {
		if _, err := u.Set(row[0], row[1], parsed(t, row[2])); err != nil {
			t.Fatal(err)
		}
	}
	if got := texts(u.Of("amy")); !slices.Equal(got, []string{"groq:third", "openai:second", "any"}) {
		t.Errorf("amy has %q", got)
	}
	if got := u.Delete("amy", "OPENAI", false); len(got) != 1 || len(u.Delete("amy", "openai", false)) != 0 {
		t.Errorf("deleted %v", got)
	}
	if got := u.Providers("amy"); !slices.Equal(got, []string{"groq", ""}) {
		t.Errorf("amy has %q", got)
	}
	if got := u.Delete("amy", "", true); len(got) != 2 || u.Has("amy") || !u.Has("bob") || u.Empty() {
		t.Errorf("deleted all: %v", got)
	}
	u.Delete("bob", "", true)
	if !u.Empty() || u.Has("") {
		t.Error("nobody has a key, and it says otherwise")
	}
}

// TestTheLatestChangeCounts: whatever the order in which changes come, and however often.
func TestTheLatestChangeCounts(t *testing.T) {
	t.Parallel()
	one := modelkey.NewUsers("one")
	first, _ := one.Set("amy", "openai", parsed(t, "first"))
	second, _ := one.Set("amy", "openai", parsed(t, "second"))
	gone := one.Delete("amy", "", true)[0]
	for _, order := range [][]modelkey.Change{{first, second, gone}, {gone, second, first}, {second, gone, first, second, gone}} {
		two := modelkey.NewUsers("two")
		for _, change := range order {
			two.Apply(change)
		}
		if two.Has("amy") {
			t.Errorf("a deleted key is there after %d changes", len(order))
		}
		third, _ := two.Set("amy", "openai", parsed(t, "third"))
		two.Apply(gone)
		one.Apply(third)
		if got := texts(one.Of("amy")); !slices.Equal(got, []string{"openai:third"}) || !two.Has("amy") {
			t.Errorf("what came later does not count: %q", got)
		}
	}
	future := first
	future.At, future.User = time.Now().Add(time.Hour).UnixNano(), "eve"
	one.Apply(future)
	if one.Has("eve") {
		t.Error("a change of the future counts, and nobody could change it")
	}
}

func TestKeysOfUsersAreBounded(t *testing.T) {
	t.Parallel()
	u := modelkey.NewUsers("one")
	for i := range modelkey.MaxOfUser {
		if _, err := u.Set("amy", fmt.Sprint("p", i), parsed(t, "k")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.Set("amy", "another", parsed(t, "k")); err == nil {
		t.Error("a user has more keys than may be")
	}
	if _, err := u.Set("amy", "p0", parsed(t, "another")); err != nil {
		t.Errorf("a key can't be replaced: %v", err)
	}
	large := strings.Repeat("k", 4000)
	users := 0
	for ; users < modelkey.MaxUsers; users++ {
		if _, err := u.Set(fmt.Sprint("u", users), "", parsed(t, large)); err != nil {
			break
		}
	}
	if users < 1000 || users > modelkey.MaxUsersBytes/4000 {
		t.Errorf("%d keys of 4000 bytes are kept", users)
	}
	before := len(u.All())
	u.Apply(modelkey.Change{User: "eve", Secret: large, At: time.Now().UnixNano(), By: "two"})
	if u.Has("eve") || len(u.All()) != before {
		t.Error("what others tell grows beyond the bound")
	}
}

func TestMessagesAreForTheCircle(t *testing.T) {
	t.Parallel()
	ours, theirs := modelkey.NewCircle([]byte("secret")), modelkey.NewCircle([]byte("other"))
	sealed, err := ours.Seal(modelkey.Message{From: "one", Changes: []modelkey.Change{{User: "amy", Secret: "SHOWN"}}})
	if err != nil || strings.Contains(string(sealed), "SHOWN") || strings.Contains(string(sealed), "amy") {
		t.Fatalf("sealed it is %q, %v", sealed, err)
	}
	if got, err := ours.Open(sealed); err != nil || got.From != "one" || got.Changes[0].Secret != "SHOWN" {
		t.Errorf("got %v, %v", got.From, err)
	}
	if _, err := theirs.Open(sealed); err == nil {
		t.Error("who does not know the secret can read it")
	}
	for _, bad := range [][]byte{nil, sealed[:20], append([]byte{1}, sealed...)} {
		if _, err := ours.Open(bad); err == nil {
			t.Errorf("%d bytes were believed", len(bad))
		}
	}
}
