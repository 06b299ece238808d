package node

import (
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// TestSocketsThroughTheServer: a handshake of /ws is a request as any other. A page of a stranger opens none, nor does who has no token, or one that
// is not believed; who has one sees what is its own.
func TestSocketsThroughTheServer(t *testing.T) {
	t.Parallel()
	s := serveGuarded(t)
	amy, bob := "Bearer "+s.token(t, "amy"), "Bearer "+s.token(t, "bob")
	if got, body := s.request(t, "POST", "/tasks", amy, `{"jsonrpc":"2.0","id":1,"method":"tasks.create","params":[{"id":"amys","name":"amys"}]}`); got != 200 {
		t.Fatalf("got HTTP %d %s", got, body)
	}
	const denied = "Permission denied: User bob can only access their own resources; missing permission: trees.read"
	for name, tt := range map[string]struct {
		token, origin string
		status        int
		frame         string // the first one
	}{
		"no token":                   {"", "", 401, ""},
		"a token nobody issued":      {"Bearer nope", "", 401, ""},
		"a foreign page":             {amy, "https://stranger.example", 403, ""},
		"a foreign page, no token":   {"", "https://stranger.example", 403, ""},
		"a page of its own":          {amy, s.http, 101, `{"type":"subscribed","task_id":"amys","context_id":"amys"}`},
		"a program with a token":     {amy, "", 101, `{"type":"subscribed","task_id":"amys","context_id":"amys"}`},
		"a program of somebody else": {bob, "", 101, `{"type":"error","task_id":"amys","data":{"code":-32001,"error":"` + denied + `","message":"Permission denied"}}`},
	} {
		header := http.Header{}
		for key, value := range map[string]string{"Authorization": tt.token, "Origin": tt.origin} {
			if value != "" {
				header.Set(key, value)
			}
		}
		conn, res, err := websocket.Dial(t.Context(), s.http+"/ws", &websocket.DialOptions{HTTPHeader: header})
		if res == nil || res.StatusCode != tt.status {
			t.Errorf("%s: got %v, %v, want HTTP %d", name, res, err, tt.status)
			continue
		}
		if err != nil {
			continue
		}
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"action":"subscribe","task_id":"amys"}`)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, frame, err := conn.Read(t.Context()); err != nil || string(frame) != tt.frame {
			t.Errorf("%s: got %s, %v, want %s", name, frame, err, tt.frame)
		}
		_ = conn.CloseNow()
	}
}
