package faults

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// hookSecret is a secret that callers have.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// call calls the webhook of a schedule at an address, and tells the status; 0: nobody answered.
func call(t *testing.T, address, schedule, id string) int {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	stamp, body := fmt.Sprint(time.Now().Unix()), `{"seconds":0.01}`
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+coordinator.PathOfTrigger("default", schedule), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))} {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// TestKilledWhileTakingEvents: wherever the coordinator dies that was called, and whoever is called again, each event has one run and one tree. TestKilledWhileFiring kills between the steps
// after those, which are the same for all runs.
func TestKilledWhileTakingEvents(t *testing.T) {
	t.Parallel()
	s := newSiteUnder(t, pgtest.Prepared(t, pg.Migrate), sealed.NewKey())
	spare, _ := s.served("")
	s.start(WorkerRole, "")
	for n, point := range []string{"coordinator.after-event-verified", "coordinator.after-event-commit"} {
		id := fmt.Sprint("s", n)
		spec, faults := scheduledoc.Read(fmt.Appendf(nil, `{"id":%q,"on":{"webhook":{}},"parameters":{"seconds":1},"tree":{"name":"run","template":true,"pool":%q,"schemas":{"method":"sleep_executor"},"inputs":{"seconds":"{{parameters.seconds}}"}}}`,
			id, Pools[0]), time.Now(), time.Now())
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		_, err := s.front.CreateSchedule(t.Context(), *spec)
		if err == nil {
			_, err = s.front.RenewScheduleSecret(t.Context(), coordinator.SecretRenewal{ID: id, Secret: hookSecret})
		}
		if err != nil {
			t.Fatal(err)
		}
		victim, _ := s.served(point + "=kill")
		if status := call(t, victim.Settings.HTTP, id, "first"); status != 0 {
			t.Errorf("%s: it was answered with %d", point, status)
		}
		s.dies(victim)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for _, event := range []string{"first", "second"} {
					if status := call(t, spare.Settings.HTTP, id, event); status != http.StatusAccepted {
						t.Errorf("%s: %s called again: HTTP %d", point, event, status)
					}
				}
			})
		}
		all.Wait()
		eventually(t, point+": the runs", func() error {
			page, err := s.front.ScheduleRuns(t.Context(), coordinator.ScheduleRunFilter{ID: id})
			if err != nil {
				return err
			}
			trees := map[string]bool{}
			for _, r := range page.Items {
				if trees[r.TreeID] = true; r.Status != "completed" {
					return fmt.Errorf("the run of %s is %s (%s)", r.FireTime.Format(time.TimeOnly), r.Status, r.Reason)
				}
			}
			if len(page.Items) != 2 || len(trees) != 2 {
				return fmt.Errorf("there are %d runs with %d trees", len(page.Items), len(trees))
			}
			return nil
		})
		if trees := s.count("select count(*) from tree where fire is not null"); trees != 2*(n+1) {
			t.Errorf("%s: %d trees of runs, want %d", point, trees, 2*(n+1))
		}
	}
}
