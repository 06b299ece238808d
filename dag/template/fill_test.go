package template

import (
	"reflect"
	"testing"
)

func TestFillLeavesWhatOthersRender(t *testing.T) {
	rules := &Rules{Plain: true}
	scope := Scope{"schedule": map[string]any{"id": "nightly", "n": 7.0, "brace": "a{{b"}}
	for text, want := range map[string]any{
		"{{schedule.id}}":                           "nightly",
		"{{schedule.n}}":                            7.0,
		"{{ deps.a.result }}":                       "{{ deps.a.result }}",
		"{{schedule.id}} of {{deps.a.result:none}}": "nightly of {{deps.a.result:none}}",
		"{{schedule.none:-}}":                       "-",
		"awk '{print}' {{schedule.id}}":             "awk '{print}' nightly",
	} {
		got, err := rules.Fill(map[string]any{"x": text}, scope, 0)
		if err != nil || !reflect.DeepEqual(got, map[string]any{"x": want}) {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
	scope["schedule"].(map[string]any)["null"] = nil
	for _, nulls := range []bool{false, true} {
		got, err := (&Rules{Plain: true, Nulls: nulls}).Fill([]any{"{{schedule.null}}", "{{schedule.null:-}}"}, scope, 0)
		if want := (map[bool][]any{false: {nil, nil}, true: {nil, "-"}})[nulls]; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("a default for null: %v %v, want %v", got, err, want)
		}
	}
	for text, kind := range map[string]Kind{"{{schedule.none}}": MissingKey, "{{schedule.brace}}": Forbidden, "a {{schedule.brace}}": Forbidden} {
		_, err := rules.Fill(text, scope, 0)
		if bad, is := err.(*Error); !is || bad.Kind != kind {
			t.Errorf("%s: %v", text, err)
		}
	}
}
