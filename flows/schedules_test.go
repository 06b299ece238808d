package flows

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestTimetable: what a scheduler file of AetherFlow says, in the words of schedules.
func TestTimetable(t *testing.T) {
	const text = `
version: 1
timezone: Europe/Paris
items:
  - {id: nightly, cron: "0 2 * * 1-5", cron_weekday: monday0, flow_yaml: flow.yaml, flow_job: main, misfire_grace_time: 60}
  - {id: often, every_seconds: 900, start_at: "2027-01-01T00:00:00Z", flow_id: orders, overlap: queue, coalesce: no, jitter_seconds: 30, paused: true, timezone: UTC}
  - {id: bundled, cron: "*/5 * * * *", bundle_manifest: b.yaml, allow_stale_bundle: yes, max_instances: 1, env: {A: "1"}, priority: 1, run_timeout_seconds: 60}
`
	got, report := ReadTimetable("s.yaml", []byte(text))
	if got == nil || len(report.Warnings) != 0 {
		t.Fatalf("report %+v", report)
	}
	want := []TimetableItem{
		{ID: "nightly", Flow: TimetableFlow{YAML: "flow.yaml", Job: "main"}, Spec: ScheduleSpec{Cron: "0 2 * * tue,wed,thu,fri,sat", Timezone: "Europe/Paris", Overlap: "skip", MisfireGrace: 60, Coalesce: true}},
		{ID: "often", Flow: TimetableFlow{ID: "orders"}, Spec: ScheduleSpec{Every: 900, StartAt: "2027-01-01T00:00:00Z", Timezone: "UTC", Overlap: "queue_one", MisfireGrace: 300, Jitter: 30, Paused: ptr(true)}},
		{ID: "bundled", AllowStale: true, Flow: TimetableFlow{Manifest: "b.yaml", Env: map[string]string{"A": "1"}, Priority: ptr(1), Timeout: 60},
			Spec: ScheduleSpec{Cron: "*/5 * * * *", Timezone: "Europe/Paris", Overlap: "skip", MisfireGrace: 300, Coalesce: true}},
	}
	for i := range want {
		want[i].Loc = fmt.Sprintf("items[%d]", i)
		// Monday is 0 in AetherFlow, so 1-5 there is Tuesday to Saturday.
		if !reflect.DeepEqual(*got.Items[i], want[i]) {
			a, _ := json.Marshal(got.Items[i])
			b, _ := json.Marshal(want[i])
			t.Errorf("item %d is\n%s\nwant\n%s", i, a, b)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestFaultsOfTimetables: all at once, each with its place and code.
func TestFaultsOfTimetables(t *testing.T) {
	const item = "timezone: UTC\nitems:\n- {id: a, flow_id: f, "
	if _, report := ReadTimetable("s.yaml", []byte(item+"cron: '/2 * * * *'}")); len(report.Errors) != 1 || report.Errors[0].Line != 3 || report.Errors[0].Column != 23 {
		t.Errorf("the place of a cron: %+v", report.Errors)
	}
	for text, want := range map[string]string{
		"items: []":                            "! timezone spec.default_timezone",
		"timezone: UTC\nversion: 2\nitems: []": "version spec.version",
		"timezone: UTC":                        "items spec.missing",
		"timezone: Europe/berlin\nitems: []":   "timezone spec.timezone: did you mean Europe/Berlin",
		"timezone: Mars/Base\nitems:\n- {id: a, cron: '0 0 * * *', flow_id: f}":            "timezone spec.timezone",
		"timezone: UTC\nitems:\n- {cron: '0 0 * * *', flow_id: f}":                         "items[0].id spec.missing",
		"timezone: UTC\nitems:\n- {id: ../a, cron: '0 0 * * *', flow_id: f}":               "items[0].id spec.bad_id",
		"timezone: UTC\nitems:\n- {id: a, cron: '0 0 * * *'}":                              "items[0].flow_yaml spec.missing",
		"timezone: UTC\nitems:\n- {id: a, cron: '0 0 * * *', flow_yaml: 5}":                "items[0].flow_yaml spec.schema",
		"timezone: UTC\nitems:\n- {id: a, cron: '0 0 * * *', flow: x}":                     "",
		"timezone: UTC\nitems:\n- {id: a, cron: '0 0 * * *', flow: x, bundle_manifest: b}": "",
		"timezone: UTC\nitems:\n- {id: a, cron: '0 0 * * *', flow_yml: x}":                 "items[0].flow_yml spec.unknown_key",
		item + "cron: '0 0 * * *', flow_yaml: x}":                                          "items[0].flow_id spec.schema",
		item + "cron: '0 0 * * *', allow_stale_bundle: true}":                              "! items[0].allow_stale_bundle spec.ignored_field",
		item + "cron: '0 0 * * *'}\n- {id: a, flow_id: g, cron: '0 0 * * *'}":              "items[1].id spec.duplicate_schedule_id",
		item + "}": "items[0].cron spec.missing",
		item + "cron: '0 0 * * *', every_seconds: 5}":                 "items[0].every_seconds spec.schema",
		item + "every_seconds: 0}":                                    "items[0].every_seconds spec.schema",
		item + "cron: '@daily'}":                                      "items[0].cron spec.cron",
		item + "cron: '0 0 * * * *'}":                                 "items[0].cron spec.cron",
		item + "cron: '/2 * * * *'}":                                  "items[0].cron spec.cron: field 1: /2 has nothing before the /: write */2",
		item + "cron: '0 0 31 2 *'}":                                  "items[0].cron spec.cron_never",
		item + "cron: '61 0 * * *'}":                                  "items[0].cron spec.cron",
		item + "cron: '0 0 * * mon#1'}":                               "items[0].cron spec.cron",
		item + "cron: '0 0 * * 1'}":                                   "! items[0].cron spec.cron_weekday: by which this is tue",
		item + "cron: '0 0 * * */2'}":                                 "! items[0].cron spec.cron_weekday: by which this is mon,wed,fri,sun",
		item + "cron: '0 0 * * 7'}":                                   "! items[0].cron spec.cron_weekday",
		item + "cron: '0 0 * * mon-fri'}":                             "",
		item + "cron: '0 0 * * 7', cron_weekday: monday0}":            "items[0].cron spec.cron: 7 is no weekday",
		item + "cron: '0 0 * * 5-2', cron_weekday: monday0}":          "items[0].cron spec.cron: 5-2 is no range",
		item + "cron: '0 0 * * 1/0', cron_weekday: monday0}":          "items[0].cron spec.cron: 0 is no step",
		item + "every_seconds: 5, cron_weekday: monday0}":             "! items[0].cron_weekday spec.ignored_field",
		item + "cron: '0 0 1 * mon'}":                                 "! items[0].cron spec.cron_days",
		item + "cron: '0 0 * * *', start_at: tomorrow}":               "items[0].start_at spec.schema",
		item + "cron: '0 0 * * *', max_instances: 3}":                 "! items[0].max_instances spec.max_instances",
		item + "cron: '0 0 * * *', max_instances: 3, overlap: queue}": "items[0].max_instances spec.schema",
		item + "cron: '0 0 * * *', max_instances: 0}":                 "items[0].max_instances spec.schema",
		item + "cron: '0 0 * * *', misfire_grace_time: 0}":            "items[0].misfire_grace_time spec.schema",
		item + "cron: '{{env.X}}'}":                                   "items[0].cron spec.cron",
		item + "cron: '0 0 * * *', env: {A: 5}}":                      "items[0].env.A spec.schema",
		item + "cron: '0 0 * * *'}\n- 5":                              "items[1] spec.schema",
		"- 5":                                                         " spec.schema",
		"a: [":                                                        "spec.yaml",
	} {
		_, report := ReadTimetable("s.yaml", []byte(text))
		var told []string
		for _, list := range []struct {
			mark   string
			faults []Fault
		}{{"", report.Errors}, {"! ", report.Warnings}} {
			for _, f := range list.faults {
				told = append(told, fmt.Sprintf("%s%s %s: %s", list.mark, f.Loc, f.Code, f.Msg))
			}
		}
		said := strings.Join(told, "\n")
		place, more, _ := strings.Cut(want, ": ")
		if want == "" && said != "" || !strings.Contains(said, place) || !strings.Contains(said, more) || want != "" && len(told) > 2 {
			t.Errorf("%s\nsays\n%s\nwant\n%s", text, said, want)
		}
	}
}

func FuzzTimetable(f *testing.F) {
	f.Add([]byte("timezone: UTC\nitems:\n- {id: a, flow_id: f, cron: '0 0 * * 1-3/2', cron_weekday: monday0}"))
	f.Add([]byte("items: [{id: a, every_seconds: 5, flow: x}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, report := ReadTimetable("s.yaml", text)
		if got == nil && report.OK {
			t.Fatal("nothing is wrong, and there is no timetable")
		}
		if got != nil && len(got.Items) > 0 { // whatever it is, more can be told of it
			if got.Tell(0, "flow_yaml", CodeFlowFile, "can't be read"); got.Report().OK {
				t.Fatal("a fault is lost")
			}
		}
	})
}
