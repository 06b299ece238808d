package doctor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/doctor"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/secrets"
)

// TestAnswer: the answer says of each name whether tasks of the pool have it, and what is wrong with inputs shows no value.
func TestAnswer(t *testing.T) {
	t.Setenv("TASKGROVE_SECRET_THERE", "hunter2")
	e := doctor.New(func() (doctor.Store, error) { return secrets.New(secrets.Config{}) }, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := server.Addr().(*net.TCPAddr).Port
	for _, row := range []struct{ in, want string }{
		{`{"secrets":[{"secret":"THERE"},{"secret":"GONE"}]}`, `{"ok":false,"secrets":[{"name":"THERE"},{"name":"GONE","missing":"there is no secret \"GONE\" for tasks of pool \"p\""}]}`},
		{`{"secrets":[]}`, `{"ok":true,"secrets":[]}`},
		{`{"connection":"shop","secrets":null}`, `{"ok":false,"secrets":[],"connection":{"name":"shop","overlay":false,"faults":["there is no connection \"shop\" for tasks of pool \"p\""]}}`},
		{`{"connection":{"name":"wh","kind":"db","driver":"postgres","config":{"host":"h","password":"{{env.THERE}}"}}}`, `{"ok":true,"secrets":[],"connection":{"name":"wh","overlay":false,"secrets":[{"name":"THERE","path":"config.password"}]}}`},
		{fmt.Sprintf(`{"dial":true,"connection":{"kind":"mail","driver":"smtp","config":{"host":"127.0.0.1","port":%d}}}`, port), fmt.Sprintf(`{"ok":true,"secrets":[],"connection":{"overlay":false,"reached":"127.0.0.1:%d"}}`, port)},
		{`{"dial":true,"connection":{"kind":"mail","driver":"smtp","config":{"host":"{{env.THERE}}"}}}`, `{"ok":true,"secrets":[],"connection":{"overlay":false,"secrets":[{"name":"THERE","path":"config.host"}]}}`},
		{`{"dial":true,"connection":{"kind":"mail","driver":"smtp","config":{"host":"169.254.169.254","password":"{{env.THERE}}"}}}`, "169.254.169.254:587 can't be reached: "},
		{`{"connection":{"kind":"db"}}`, "connection: must be the name of a connection"},
		{`{"connection":{"kind":"db","driver":"postgres","password":"hunter2"}}`, `"password" is no key of a connection`},
		{`{"connection":null}`, "secrets or connection is required in inputs"},
		{`{"secrets":[` + strings.TrimSuffix(strings.Repeat(`{"secret":"a"},`, doctor.MaxSecrets+1), ",") + `]}`, "secrets"},
		{`{"secrets":[{"secret":"` + strings.Repeat("a", 129) + `"}]}`, "secrets"},
		{`{"secrets":["THERE"]}`, "secrets"},
	} {
		call, _ := conformance.Call(t, row.in)
		call.Pool = "p"
		err := inputs.NewChecker(0).Check(e.Describe(), call)
		var text []byte
		if err == nil {
			out, bad := e.Run(t.Context(), call)
			if err = bad; err == nil {
				text, err = json.Marshal(out.Value())
			}
		}
		got := string(text)
		if err != nil {
			got = err.Error()
		}
		if got != row.want && (err == nil && strings.HasPrefix(row.want, "{") || !strings.Contains(got, row.want)) || strings.Contains(got, "hunter2") {
			t.Errorf("%.200s: got %s, want %s", row.in, got, row.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	call, _ := conformance.Call(t, `{"secrets":[]}`)
	if _, err := e.Run(ctx, call); err == nil {
		t.Error("it went on after its end")
	}
}
