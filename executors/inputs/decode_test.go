package inputs_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

func TestDecodeNamesTheFieldAndShowsNoValue(t *testing.T) {
	var in struct{ Auth struct{ Token string } }
	for text, want := range map[string]string{
		`{"auth": {"token": ["hunter2"]}}`: "[x] auth.token must not be a array",
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
