package coordinator

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// FuzzEvents: a call is signed with a key only if every part of it was signed with that, whatever its headers are; whatever its body is, it gives an object that can be stored, or an error that
// can be shown.
func FuzzEvents(f *testing.F) {
	key, other := []byte(strings.Repeat("k", 32)), []byte(strings.Repeat("o", 32))
	good := signatures([][]byte{key}, "evt_1", "1764500000", []byte(`{"a":{"b":[1,"x"]}}`))
	for _, seed := range [][5]string{
		{"evt_1", "1764500000", good, `{"a":{"b":[1,"x"]}}`, "a.b.1"},
		{"evt_1", "1764500000", "v1,AAAA v2,x " + good, `{"a":{"b":[1,"x"]}}`, "a"},
		{"evt_1", "0", "v1," + strings.Repeat("A", 44), `[1,2]`, "0"},
		{"", "-1", "v1,", `{"a":1,"a":2}`, "a..b"},
		{"x y", "99999999999999999999", ",,,", "{\"a\":\"\\u0000\xff\"}", "a"},
		{"1.2", "3", "v1", `{"d":{"secret":"s"}}`, "d"},
		{"x", "1e3", "V1,AA==", strings.Repeat("[", 300), ""},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]), seed[4])
	}
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte, path string) {
		e := ScheduleEvent{Schedule: "s", ID: id, Timestamp: stamp, Signature: signature, Body: body}
		if err := e.Check(); err != nil {
			if !isA[*InvalidArgumentError](err) {
				t.Fatalf("got %T %v", err, err)
			}
			return
		}
		if e.signedWith([][]byte{other}) {
			t.Fatal("it is signed with a key that nobody has signed with")
		}
		if e.signedWith([][]byte{key}) && !strings.Contains(" "+signature+" ", signatures([][]byte{key}, id, stamp, body)) {
			t.Fatalf("%q is no signature of it", signature)
		}
		e.Signature = signatures([][]byte{other, key}, id, stamp, body)
		if !e.signedWith([][]byte{key}) {
			t.Fatal("it is signed, and does not count")
		}
		for what, changed := range map[string]ScheduleEvent{
			"body": {ID: id, Timestamp: stamp, Signature: e.Signature, Body: append([]byte("x"), body...)}, "id": {ID: id + "x", Timestamp: stamp, Signature: e.Signature, Body: body},
			"time": {ID: id, Timestamp: stamp + "1", Signature: e.Signature, Body: body},
		} {
			if changed.signedWith([][]byte{key, other}) {
				t.Fatalf("with another %s it counts", what)
			}
		}
		_ = e.untimely(time.Unix(1764500000, 0), time.Minute)
		for _, hook := range []*scheduledoc.Webhook{{}, scheduledoc.NewWebhook(map[string]string{"p": path}, "")} {
			got, err := payloadOf(hook, body)
			var object map[string]any
			if err != nil && !isA[*InvalidArgumentError](err) || err == nil && (json.Unmarshal(got, &object) != nil || object == nil || len(got) > scheduledoc.MaxParametersBytes || namesSecret(object)) {
				t.Fatalf("got %.200s and %v", got, err)
			}
		}
	})
}
