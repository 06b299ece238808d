package coordinator_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// called is a cluster with a key to seal secrets with.
func called(t *testing.T, opts cluster.Options) *cluster.Cluster {
	opts.Coordinator = func(c *config.Coordinator) { c.SealKey = testSeal }
	return expanders(t, opts)
}

// signedEvent is a call that is signed with a secret, at a time.
func signedEvent(t *testing.T, schedule, id, secret, body string, at time.Time) coordinator.ScheduleEvent {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	e := coordinator.ScheduleEvent{Namespace: "default", Schedule: schedule, ID: id, Timestamp: fmt.Sprint(at.Unix()), Body: []byte(body)}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", e.ID, e.Timestamp, body)
	e.Signature = "v1,bm9uZQ== v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return e
}

// secretOf makes a secret of a schedule.
func secretOf(t *testing.T, c *cluster.Cluster, id string, keep time.Duration) string {
	t.Helper()
	s, err := c.Service().RenewScheduleSecret(t.Context(), coordinator.SecretRenewal{ID: id, Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	return s.Secret
}

func completed(n int) func([]*coordinator.ScheduleRun) bool {
	return func(runs []*coordinator.ScheduleRun) bool {
		return len(runs) == n && !slices.ContainsFunc(runs, func(r *coordinator.ScheduleRun) bool { return r.Status != "completed" })
	}
}

// TestEventsBeginRuns: each id of a call has one run, by whichever coordinator and however often it comes at the same time. Its payload gives the parameters.
func TestEventsBeginRuns(t *testing.T) {
	t.Parallel()
	c := called(t, cluster.Options{Coordinators: 2, Workers: 1})
	made := schedule(t, c, `{"id":"a/b","on":{"webhook":{"parameters":{"day":"report.days.1"}}},"tree":`+ended+`,"parameters":{"day":"of {{schedule.id}}"}}`)
	if made.WebhookPath != "/triggers/default/a%2Fb" || !made.SecretAt.IsZero() {
		t.Errorf("got the path %q and a secret of %v", made.WebhookPath, made.SecretAt)
	}
	secret := secretOf(t, c, "a/b", 0)
	var all sync.WaitGroup
	var mu sync.Mutex
	instants := map[string][]time.Time{}
	for i := range 24 {
		all.Go(func() {
			id := fmt.Sprintf("evt_%d", i%3)
			body := `{"report":{"days":["x","2026-11-2` + fmt.Sprint(i%3) + `"]},"more":"{{schedule.id}} is not read"}`
			if i%3 == 2 {
				body = `[]`
			}
			run, err := c.Coordinators[i%2].P.TakeEvent(t.Context(), signedEvent(t, "a/b", id, secret, body, time.Now()))
			if err != nil {
				t.Errorf("%s: %v", id, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			instants[id] = append(instants[id], run.FireTime)
		})
	}
	all.Wait()
	for id, times := range instants {
		if len(slices.Compact(times)) != 1 {
			t.Errorf("%s has the runs %v", id, times)
		}
	}
	var days []string
	for _, r := range untilRuns(t, c, "a/b", completed(3)) {
		task, err := c.Service().Task(t.Context(), r.TreeID)
		if err != nil || r.Kind != "event" {
			t.Fatal(r.Kind, err)
		}
		_, day, _ := strings.Cut(string(task.Result), `"day":`)
		days = append(days, strings.SplitN(day, ",", 2)[0])
	}
	slices.Sort(days)
	if got := strings.Join(days, " "); got != `"2026-11-20" "2026-11-21" "of a/b"` {
		t.Errorf("got the days %s", got)
	}
}

// TestEventsThatAreRefused tell why, once they are signed, and store nothing.
func TestEventsThatAreRefused(t *testing.T) {
	t.Parallel()
	c := called(t, cluster.Options{Coordinators: 1, Workers: 1})
	file := `{"taskgrove":1,"name":"a","parameters":{"day":{"type":"string","pattern":"^[0-9-]+$","default":"2026-01-01"}},"tasks":[{"name":"t","executor":"end","inputs":{"value":"{{parameters.day}}"}}]}`
	schedule(t, c, `{"id":"typed","on":{"webhook":{"tolerance":60}},"tree":`+file+`}`)
	schedule(t, c, `{"id":"plain","on":{"webhook":{}},"tree":`+ended+`,"parameters":{"day":"x"}}`)
	schedule(t, c, `{"id":"timed","cron":"@yearly","tree":`+ended+`,"parameters":{"day":"x"}}`)
	schedule(t, c, `{"id":"bare","on":{"webhook":{}},"tree":`+ended+`,"parameters":{"day":"x"}}`)
	typed, plain := secretOf(t, c, "typed", 0), secretOf(t, c, "plain", 0)
	now := time.Now()
	changed := func(e coordinator.ScheduleEvent, f func(*coordinator.ScheduleEvent)) coordinator.ScheduleEvent {
		f(&e)
		return e
	}
	good := signedEvent(t, "typed", "e", typed, `{}`, now)
	for fact, row := range map[string]struct {
		e    coordinator.ScheduleEvent
		want string
	}{
		"no id":                       {changed(good, func(e *coordinator.ScheduleEvent) { e.ID = "" }), "webhook-id: is required"},
		"an id with a space":          {changed(good, func(e *coordinator.ScheduleEvent) { e.ID = "a b" }), "webhook-id: must be at most 200 visible"},
		"no time":                     {changed(good, func(e *coordinator.ScheduleEvent) { e.Timestamp = "" }), "webhook-timestamp: is required"},
		"no number":                   {changed(good, func(e *coordinator.ScheduleEvent) { e.Timestamp = "-1" }), "webhook-timestamp: must be whole seconds"},
		"no signature":                {changed(good, func(e *coordinator.ScheduleEvent) { e.Signature = "" }), "webhook-signature: is required"},
		"another body":                {changed(good, func(e *coordinator.ScheduleEvent) { e.Body = []byte(`{} `) }), "not signed"},
		"another id":                  {changed(good, func(e *coordinator.ScheduleEvent) { e.ID = "f" }), "not signed"},
		"another secret":              {signedEvent(t, "typed", "e", plain, `{}`, now), "not signed"},
		"another version":             {changed(good, func(e *coordinator.ScheduleEvent) { e.Signature = strings.ReplaceAll(e.Signature, "v1,", "v2,") }), "not signed"},
		"no schedule":                 {changed(good, func(e *coordinator.ScheduleEvent) { e.Schedule = "nobodys" }), "not signed"},
		"no namespace":                {changed(good, func(e *coordinator.ScheduleEvent) { e.Namespace = "nobodys" }), "not signed"},
		"a bad namespace":             {changed(good, func(e *coordinator.ScheduleEvent) { e.Namespace = "A b\x00" }), "not signed"},
		"a schedule without webhook":  {changed(good, func(e *coordinator.ScheduleEvent) { e.Schedule = "timed" }), "not signed"},
		"a webhook without secret":    {changed(good, func(e *coordinator.ScheduleEvent) { e.Schedule = "bare" }), "not signed"},
		"an old one":                  {signedEvent(t, "typed", "e", typed, `{}`, now.Add(-2*time.Minute)), "webhook-timestamp: is more than 1m0s ago"},
		"one of the future":           {signedEvent(t, "typed", "e", typed, `{}`, now.Add(2*time.Minute)), "webhook-timestamp: is more than 1m0s ahead"},
		"an old one that is unsigned": {signedEvent(t, "typed", "e", plain, `{}`, now.Add(-2*time.Minute)), "not signed"},
		"no JSON":                     {signedEvent(t, "typed", "e", typed, `{`, now), "body: must be JSON"},
		"nothing":                     {signedEvent(t, "typed", "e", typed, ``, now), "body: must be JSON"},
		"a number that is too large":  {signedEvent(t, "typed", "e", typed, `{"day":1e400}`, now), "body: has a number that is too large"},
		"no object":                   {signedEvent(t, "typed", "e", typed, `[1]`, now), "body: must be an object"},
		"a name twice":                {signedEvent(t, "typed", "e", typed, `{"day":"1","day":"2"}`, now), "body: day: must not be there twice"},
		"a value that is none":        {signedEvent(t, "typed", "e", typed, `{"day":"monday"}`, now), "parameters.day: must match"},
		"no such parameter":           {signedEvent(t, "typed", "e", typed, `{"night":"1"}`, now), "night"},
		"a secret":                    {signedEvent(t, "plain", "e", plain, `{"day":{"secret":"orders"}}`, now), "body: a value names a secret"},
		"a template":                  {signedEvent(t, "plain", "e", plain, `{"day":"{{deps.x}}"}`, now), "would be read as a template"},
		"too much":                    {signedEvent(t, "plain", "e", plain, `{"day":"`+strings.Repeat("x", 65<<10)+`"}`, now), "the most is 65536"},
	} {
		_, err := c.Service().TakeEvent(t.Context(), row.e)
		if err == nil || !strings.Contains(err.Error(), row.want) || errors.Is(err, coordinator.ErrUnsigned) != (row.want == "not signed") {
			t.Errorf("%s: got %v, want %s", fact, err, row.want)
		}
		if err != nil && (strings.Contains(err.Error(), typed[6:20]) || strings.Contains(err.Error(), plain[6:20])) {
			t.Errorf("%s: the secret is told: %v", fact, err)
		}
	}
	if _, err := c.Service().PauseSchedule(t.Context(), "typed", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Service().TakeEvent(t.Context(), good); !errors.Is(err, coordinator.ErrConflict) {
		t.Errorf("of a paused schedule: %v", err)
	}
	for _, id := range []string{"typed", "plain", "timed", "bare"} {
		if runs := runsOf(t, c, id); len(runs) != 0 {
			t.Errorf("%s has %d runs", id, len(runs))
		}
	}
	if _, err := c.Service().ResumeSchedule(t.Context(), "typed"); err != nil {
		t.Fatal(err)
	}
	if run, err := c.Service().TakeEvent(t.Context(), good); err != nil || run.Kind != "event" {
		t.Errorf("the same call, resumed: %+v %v", run, err)
	}
}

// TestSecretsOfWebhooksAreRenewed: the one before counts for as long as is said, and is shown nowhere.
func TestSecretsOfWebhooksAreRenewed(t *testing.T) {
	t.Parallel()
	c := called(t, cluster.Options{Coordinators: 2, Workers: 1})
	schedule(t, c, `{"id":"s","on":{"webhook":{}},"tree":`+ended+`,"parameters":{"day":"x"}}`)
	first := secretOf(t, c, "s", time.Hour)
	second := secretOf(t, c, "s", time.Hour)
	n := 0
	try := func(secret string) error {
		n++
		_, err := c.Coordinators[n%2].P.TakeEvent(t.Context(), signedEvent(t, "s", fmt.Sprint("e", n), secret, `{}`, time.Now()))
		return err
	}
	if err := errors.Join(try(first), try(second)); err != nil {
		t.Error(err)
	}
	info, err := c.Service().GetSchedule(t.Context(), "s")
	if err != nil || info.SecretAt.IsZero() || info.SecretUntil.Sub(info.SecretAt).Round(time.Minute) != time.Hour {
		t.Errorf("made at %v, until %v: %v", info.SecretAt, info.SecretUntil, err)
	}
	if shown := fmt.Sprintf("%+v", info); strings.Contains(shown, "whsec_") || strings.Contains(shown, second[6:20]) {
		t.Error("a secret is shown")
	}
	third := secretOf(t, c, "s", time.Millisecond)
	time.Sleep(5 * time.Millisecond)
	for secret, ok := range map[string]bool{first: false, second: false, third: true} {
		if err := try(secret); (err == nil) != ok || err != nil && !errors.Is(err, coordinator.ErrUnsigned) {
			t.Errorf("after the third: %v", err)
		}
	}
	given, err := c.Service().RenewScheduleSecret(t.Context(), coordinator.SecretRenewal{ID: "s", Secret: testSecret})
	if err != nil || given.Secret != "" || !given.Until.IsZero() {
		t.Fatal(given, err)
	}
	if err := try(testSecret); err != nil {
		t.Error(err)
	}
	if err := try(third); !errors.Is(err, coordinator.ErrUnsigned) {
		t.Errorf("one that is not kept: %v", err)
	}
	spec := info.Spec
	spec.On, spec.Cron = nil, "@yearly"
	if _, err := c.Service().UpdateSchedule(t.Context(), spec, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Service().RenewScheduleSecret(t.Context(), coordinator.SecretRenewal{ID: "s"}); !errors.Is(err, coordinator.ErrConflict) {
		t.Errorf("without a webhook: %v", err)
	}
	spec.On, spec.Cron = info.On, ""
	if _, err := c.Service().UpdateSchedule(t.Context(), spec, 0); err != nil {
		t.Fatal(err)
	}
	if err := try(testSecret); !errors.Is(err, coordinator.ErrUnsigned) {
		t.Errorf("a secret outlived its webhook: %v", err)
	}
}

// TestEventsWaitInLine: without a word on overlap each has its run, one after another, up to a bound; with one, that counts.
func TestEventsWaitInLine(t *testing.T) {
	t.Parallel()
	c := called(t, cluster.Options{Coordinators: 1, Workers: 1})
	held := `{"name":"a","schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}`
	for _, overlap := range []string{"", "skip", "queue_one", "allow", "cancel_other"} {
		schedule(t, c, `{"id":"s-`+overlap+`","overlap":"`+overlap+`","on":{"webhook":{}},"tree":`+held+`}`)
		secret := secretOf(t, c, "s-"+overlap, 0)
		call := func(i int) (*coordinator.ScheduleRun, error) {
			return c.Service().TakeEvent(t.Context(), signedEvent(t, "s-"+overlap, fmt.Sprint("e", i), secret, `{}`, time.Now()))
		}
		if _, err := call(0); err != nil {
			t.Fatal(err)
		}
		untilRuns(t, c, "s-"+overlap, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "running" })
		second, err := call(1)
		third, err2 := call(2)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"": "queued  queued ", "skip": "skipped overlap skipped overlap", "queue_one": "queued  skipped overlap"}[overlap]
		if got := fmt.Sprintf("%s %s %s %s", second.Status, second.Reason, third.Status, third.Reason); got != want && overlap != "allow" && overlap != "cancel_other" { // which may have gone on meanwhile
			t.Errorf("%s: got %s, want %s", overlap, got, want)
		}
		switch overlap {
		case "allow":
			untilRuns(t, c, "s-allow", func(runs []*coordinator.ScheduleRun) bool {
				return len(runs) == 3 && !slices.ContainsFunc(runs, func(r *coordinator.ScheduleRun) bool { return r.Status != "running" })
			})
		case "cancel_other":
			untilRuns(t, c, "s-cancel_other", func(runs []*coordinator.ScheduleRun) bool {
				return len(runs) == 3 && runs[0].Status == "cancelled" && runs[1].Status == "skipped" && runs[2].Status == "running"
			})
		case "":
			for i := 3; i < 101; i++ {
				if _, err := call(i); err != nil {
					t.Fatalf("%d: %v", i, err)
				}
			}
			if _, err := call(101); !errors.Is(err, coordinator.ErrEventsWait) {
				t.Errorf("the line is full: %v", err)
			}
			if _, err := call(100); err != nil {
				t.Errorf("one that was taken: %v", err)
			}
		}
	}
}

// TestSecretsOfWebhooksNeedAKey: without one to seal them with there are none.
func TestSecretsOfWebhooksNeedAKey(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 1, Workers: 1})
	schedule(t, c, `{"id":"s","on":{"webhook":{}},"tree":`+ended+`,"parameters":{"day":"x"}}`)
	if _, err := c.Service().RenewScheduleSecret(t.Context(), coordinator.SecretRenewal{ID: "s"}); err == nil || !strings.Contains(err.Error(), "TASKGROVE_SEAL_KEY_FILE") {
		t.Error(err)
	}
}
