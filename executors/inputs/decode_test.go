package inputs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

func TestDecodeNamesTheFieldAndShowsNoValue(t *testing.T) {
	var in struct {
		Auth    struct{ Token string }
		Timeout json.Number
		At      time.Time
	}
	for text, want := range map[string]string{
		`{"auth": {"token": ["hunter2"]}}`: "[x] auth.token must not be a array",
		`{"timeout": "hunter2"}`:           "[x] timeout must not be a string",
		`{"at": "hunter2"}`:                "[x] at has a value that can't be read",
		`["hunter2"]`:                      "[x] inputs are not a JSON object",
		`{"auth": "hunter2`:                "[x] inputs are not a JSON object",
	} {
		call, _ := conformance.Call(t, text)
		if err := inputs.Decode("x", call, &in); err == nil || err.Error() != want || !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	call, _ := conformance.Call(t, `{"auth": {"token": "t"}, "more": 1}`)
	if err := inputs.Decode("x", call, &in); err != nil || in.Auth.Token != "t" {
		t.Errorf("got %+v, %v", in, err)
	}
}

// TestDecodeTakesNoNameForAnother: the check of a schema does not see Host, so nobody may read it as host.
func TestDecodeTakesNoNameForAnother(t *testing.T) {
	var in struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	call, _ := conformance.Call(t, `{"host": "mine", "Host": "other", "PORT": "no number"}`)
	if err := inputs.Decode("x", call, &in); err != nil || in.Host != "mine" || in.Port != 0 {
		t.Errorf("got %+v, %v", in, err)
	}
}
