package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// FuzzDeliveries: the reply subject of a delivery, which NATS writes, says how often it was delivered; nothing else
// counts as more than once by mistake, and nothing breaks the reader.
func FuzzDeliveries(f *testing.F) {
	for _, reply := range []string{
		"$JS.ACK.TG_WORK.noop_p0.3.17.5.1700000000000000000.42", "$JS.ACK.hub.ACC.TG_WORK.noop_p0.2.17.5.1700000000000000000.7.x",
		"", "$JS.ACK", ".........", "$JS.ACK.a.b.x.y.z.t.-1", "$JS.ACK.a.b.99999999999999999999.1.1.1.1",
	} {
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		info := deliveryOf(&nats.Msg{Reply: reply})
		if strings.Count(reply, ".") < 8 && (info.delivered != 1 || info.pending != 0) {
			t.Fatalf("%q: got %+v of a subject that is too short", reply, info)
		}
	})
}

// FuzzTakes: whatever comes to a taker's inbox, its books stay right: what it holds is what it was given, and what it
// waits for is never less than nothing.
func FuzzTakes(f *testing.F) {
	for _, row := range []struct {
		last          byte
		reply, status string
		body          []byte
	}{
		{'0', "$JS.ACK.TG_WORK.noop_p0.1.17.5.1.42", "", []byte("work")}, {'3', "", "404", nil}, {'9', "", "503", nil},
		{'1', "", "409", nil}, {'2', "x", "100", []byte{0}}, {0, "", "", nil},
	} {
		f.Add(row.last, row.reply, row.status, row.body)
	}
	f.Fuzz(func(t *testing.T, last byte, reply, status string, body []byte) {
		k := &Taker{pool: "noop", wake: make(chan struct{}, 1)}
		k.asks = &asks{}
		k.free, k.taking = 2, true
		for p := range priorities {
			k.asks.out[p] = 1
		}
		for range 2 {
			k.onMessage(k.asks, &nats.Msg{Subject: "_INBOX.x." + string([]byte{last}), Reply: reply, Data: body, Header: nats.Header{"Status": {status}}})
		}
		held := 0
		for p := range priorities {
			held += len(k.got[p])
			if k.asks.out[p] < 0 {
				t.Fatalf("waits for %d messages of priority %d", k.asks.out[p], p)
			}
			for _, d := range k.got[p] {
				if string(d.Data) != string(body) || d.Priority != p {
					t.Fatalf("got %q of priority %d, want %q of %d", d.Data, d.Priority, body, p)
				}
			}
		}
		if held != k.held || held > 0 && reply == "" {
			t.Fatalf("holds %d, counts %d, reply %q", held, k.held, reply)
		}
	})
}

// FuzzResultsArrivals: whatever comes to the inbox for results, what is in hand is counted right, and only a worker's
// own subject makes a result.
func FuzzResultsArrivals(f *testing.F) {
	for _, row := range []struct{ subject, reply, status, description, left, bytes string }{
		{"tg.result.w", "$JS.ACK.TG_RESULTS.coordinators.1.1.1.1.0", "", "", "", ""},
		{"tg.result.", "r", "", "", "", ""}, {"tg.result.a.b", "r", "", "", "", ""}, {"tg.result.a.b.c", "r", "", "", "", ""}, {"tg.result.a.", "r", "", "", "", ""}, {"elsewhere", "r", "", "", "", ""},
		{"inbox", "", "100", "", "", ""}, {"inbox", "", "404", "No Messages", "5", "100"}, {"inbox", "", "408", "", "x", "-1"},
		{"inbox", "", "409", "Batch Completed", "99999999999999999999", "9223372036854775807"}, {"inbox", "", "503", "", "", ""}, {"inbox", "", "", "", "", ""},
		{"inbox", "", "408", "", "-9223372036854775808", "-9223372036854775808"},
	} {
		f.Add(row.subject, row.reply, row.status, row.description, row.left, row.bytes, []byte("data"))
	}
	f.Fuzz(func(t *testing.T, subject, reply, status, description, left, bytes string, data []byte) {
		var got []*ResultMessage
		r := &resultsReader{
			conn: &Conn{cfg: Config{AckWait: time.Minute}}, prefix: "tg.result.", most: 10, bytes: 1 << 20, asked: 10, askedBytes: 1 << 20,
			handle: func(m *ResultMessage) { got = append(got, m) }, room: make(chan struct{}, 1),
		}
		err := r.take(&nats.Msg{Subject: subject, Reply: reply, Data: data, Header: nats.Header{
			"Status": {status}, "Description": {description}, "Nats-Pending-Messages": {left}, "Nats-Pending-Bytes": {bytes},
		}})
		if r.asked < 0 || r.asked > 10 || r.askedBytes < 0 || r.askedBytes > 1<<20 {
			t.Fatalf("status %q, left %q, %q bytes: waits for %d messages, %d bytes", status, left, bytes, r.asked, r.askedBytes)
		}
		if int(r.unanswered.Load()) != len(got) || len(r.kept) != len(got) || len(got) == 0 && r.held.Load() != 0 {
			t.Fatalf("got %d, counts %d, keeps %d", len(got), r.unanswered.Load(), len(r.kept))
		}
		worker, ours := strings.CutPrefix(subject, r.prefix)
		if ours = ours && ValidWorker(worker) && reply != ""; !ours {
			if len(got) > 0 {
				t.Fatalf("%q with reply %q: got %d results", subject, reply, len(got))
			}
			return
		}
		if err != nil || len(got) != 1 || string(got[0].Data) != string(data) || got[0].Worker != worker {
			t.Fatalf("%q: got %d results, %v", subject, len(got), err)
		}
	})
}

// FuzzAcknowledgements: an answer of the stream that names an error is one, an empty or foreign one never breaks the
// reader.
func FuzzAcknowledgements(f *testing.F) {
	for _, data := range []string{`{"stream":"TG_WORK","seq":1}`, `{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}`, "", `"error"`, `{"error":null}`} {
		f.Add([]byte(data), "")
	}
	f.Add([]byte{}, "503")
	f.Fuzz(func(t *testing.T, data []byte, status string) {
		err := ackError(&nats.Msg{Data: data, Header: nats.Header{"Status": {status}}})
		if err == nil && len(data) == 0 && status == "503" {
			t.Fatal("nobody listens, and that is no error")
		}
		if err != nil && !strings.Contains(string(data), `"error"`) && len(data) > 0 {
			t.Fatalf("%q: got %v", data, err)
		}
	})
}

// FuzzNames: a name that is accepted is one token of a subject, in every subject that is made of it; a worker's id is one or two.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"worker-1", "", "a.b", "a.b.c", ".", "a.", ".a", "*", ">", strings.Repeat("x", 65), "é", "a b", "a\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n := namesOf("")
		if ValidWorker(name) {
			if got := strings.Count(n.subject(Claim, name), "."); got > 3 || (got == 3) == ValidName(name) || !ValidName(User(name)) {
				t.Fatalf("worker %q is %d tokens, of user %q", name, got-1, User(name))
			}
			for _, subject := range []string{n.subject(Claim, name), n.logSubject(name, 1), n.inbox(name)} {
				if strings.ContainsAny(subject, "*> \t\r\n") || strings.Contains(subject, "..") || len(subject) > 192 {
					t.Fatalf("worker %q makes the subject %q", name, subject)
				}
			}
		}
		if !ValidName(name) {
			return
		}
		for _, subject := range []string{n.subject(Claim, name), n.logSubject(name, 1), n.workSubject(name, 3), n.inbox(name)} {
			if strings.ContainsAny(subject, "*> \t\r\n") || strings.Contains(subject, "..") || len(subject) > 128 {
				t.Fatalf("%q makes the subject %q", name, subject)
			}
		}
		if got := strings.Count(n.subject(Claim, name), "."); got != 2 {
			t.Fatalf("%q is %d tokens", name, got-1)
		}
	})
}
