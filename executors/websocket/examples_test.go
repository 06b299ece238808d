package websocket_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	ws "github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/executors/websocket"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestExamples runs the examples against a server of prices, in place of theirs.
func TestExamples(t *testing.T) {
	prices := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := ws.Accept(w, r, &ws.AcceptOptions{Subprotocols: []string{"prices.v1"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			var in map[string]any
			_, text, err := c.Read(r.Context())
			if err != nil || json.Unmarshal(text, &in) != nil {
				return
			}
			for _, reply := range map[any][]string{
				"login":     {`{"type":"welcome"}`},
				"subscribe": {`{"type":"price","data":{"topic":"GBPUSD"}}`, `{"type":"price","data":{"topic":"EURUSD","price":1.1}}`},
				nil:         {`{"type":"news"}`, fmt.Sprintf(`{"id":%v,"price":1.1}`, in["id"])},
			}[in["type"]] {
				_ = c.Write(r.Context(), ws.MessageText, []byte(reply))
			}
		}
	}))
	defer prices.Close()
	e := newExecutor(websocket.Config{})
	wants := []string{`{"id":7,"price":1.1}`, `{"type":"price","data":{"topic":"EURUSD","price":1.1}}`}
	for i, example := range e.Describe().Examples {
		var in object
		if err := json.Unmarshal(example.Inputs, &in); err != nil {
			t.Fatal(err)
		}
		in["url"] = "wss" + strings.TrimPrefix(prices.URL, "https") + "/v1"
		in["tls"] = object{"ca": pemOf(prices.Certificate().Raw)}
		if got, err := run(t, e, in); err != nil || string(got.Response) != wants[i] {
			t.Errorf("%s: got %+v, %v", example.Title, got, err)
		}
	}
}
