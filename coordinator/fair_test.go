package coordinator_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// fairPool is the only pool of the workers here.
const fairPool = "shared"

// sleeping are n tasks of a user that keep their slots for some time: a tree of them, below a group.
func sleeping(user string, n int, seconds float64) []*dag.Task {
	tasks := []*dag.Task{group(user, "")}
	for i := range n {
		t := noop(fmt.Sprintf("%s-%d", user, i), user)
		t.Executor, t.Pool, t.Inputs = "sleep_executor", fairPool, fmt.Appendf(nil, `{"seconds": %g}`, seconds)
		tasks = append(tasks, t)
	}
	for _, t := range tasks {
		t.UserID = user
	}
	return tasks
}

// start is one start of a task of somebody.
type start struct {
	user string
	at   time.Time
}

// unending is how many tasks have some of them wait for longer than any test takes, however slow the machine is.
const unending = 3000

// startsOf are the starts of the tasks of trees, which are called like their users, in their order: up to the end of the last tree, whose end is that of the others, too.
func startsOf(c *cluster.Cluster, last string, others ...string) (all []start) {
	c.Settled(last)
	for _, user := range others {
		if _, err := c.Service().Cancel(c.T.Context(), user, coordinator.CancelOptions{}); err != nil {
			c.T.Fatal(err)
		}
	}
	for _, user := range append(others, last) {
		c.Settled(user)
		for id, t := range c.Tasks(user) {
			if id != user && !t.StartedAt.IsZero() {
				all = append(all, start{user, t.StartedAt})
			}
		}
	}
	slices.SortFunc(all, func(a, b start) int { return a.at.Compare(b.at) })
	return all
}

// while are the starts of each between the first and the last of one.
func while(all []start, user string) map[string]int {
	is := func(s start) bool { return s.user == user }
	first := slices.IndexFunc(all, is)
	last := len(all) - 1
	for !is(all[last]) {
		last--
	}
	n := map[string]int{}
	for _, s := range all[first : last+1] {
		n[s.user]++
	}
	return n
}

// TestUsersShareSlots: who comes with few tasks has half of the slots, though somebody else has many waiting, however many coordinators there are.
func TestUsersShareSlots(t *testing.T) {
	t.Parallel()
	for _, coordinators := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d coordinators", coordinators), func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Coordinators: coordinators, Concurrency: 4, Pools: []string{fairPool}})
			waits := unending
			if coordinators > 1 { // what each knows of the others' is old on a busy machine: how far that leads is not bounded here
				waits = 120
			}
			c.Submit(coordinator.SubmitOptions{}, sleeping("many", waits, 0.1)...)
			c.Eventually("the slots are taken", func() error {
				if st := c.Tasks("many")["many-3"]; st.State != dag.Running && !st.State.Settled() {
					return fmt.Errorf("it is %s", st.State)
				}
				return nil
			})
			if _, err := c.Coordinators[coordinators-1].P.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq(sleeping("few", 24, 0.1))); err != nil {
				t.Fatal(err)
			}
			n := while(startsOf(c, "few", "many"), "few")
			t.Log("while those of the second began:", n)
			least, most := 12, 36
			if coordinators > 1 { // for up to two seconds each goes by what it gave out, and saw end, itself
				least, most = 0, 72
			}
			if n["few"] != 24 || n["many"] < least || n["many"] > most {
				t.Errorf("while those of the second began: %v, want about as many of both", n)
			}
		})
	}
}

// TestWeightsOfUsers: of three users whose tasks wait, the one that weighs double has double the slots.
func TestWeightsOfUsers(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 4, Pools: []string{fairPool}})
	if err := c.Coordinators[0].P.Store.SetShareWeight(t.Context(), dag.DefaultNamespaceKey, "heavy", 2); err != nil {
		t.Fatal(err)
	}
	users := []string{"one", "two", "heavy"}
	for _, user := range users[:2] {
		c.Submit(coordinator.SubmitOptions{}, sleeping(user, unending, 0.05)...)
	}
	c.Submit(coordinator.SubmitOptions{}, sleeping("heavy", 80, 0.05)...)
	n := while(startsOf(c, "heavy", users[:2]...), "heavy")
	for _, user := range users[:2] {
		if n["heavy"] != 80 || n[user] < 25 || n[user] > 60 {
			t.Errorf("while those of the heavy one began: %v, want about half as many of each other", n)
		}
	}
}

// TestUsersShareALimit: of what an operator lets run in a pool, each has half.
func TestUsersShareALimit(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 8, Pools: []string{fairPool}})
	three := int32(3)
	if _, err := c.Service().SetLimit(t.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Pool: fairPool}, Max: &three}); err != nil {
		t.Fatal(err)
	}
	c.Submit(coordinator.SubmitOptions{}, sleeping("many", unending, 0.05)...)
	c.Submit(coordinator.SubmitOptions{}, sleeping("few", 24, 0.05)...)
	if n := while(startsOf(c, "few", "many"), "few"); n["few"] != 24 || n["many"] < 12 || n["many"] > 40 {
		t.Errorf("while those of the second began: %v, want about as many of both", n)
	}
}

// TestANewcomerWaitsForOneTask: with long tasks nothing but what runs is ahead of who comes first.
func TestANewcomerWaitsForOneTask(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 2, Pools: []string{fairPool}})
	c.Submit(coordinator.SubmitOptions{}, sleeping("many", unending, 0.4)...)
	var ahead []int
	for i := range 5 {
		user := fmt.Sprint("new-", i)
		c.Submit(coordinator.SubmitOptions{}, sleeping(user, 1, 0.01)...)
		c.Settled(user)
	}
	all := startsOf(c, "new-4", "many", "new-0", "new-1", "new-2", "new-3")
	for i := range 5 {
		at := slices.IndexFunc(all, func(s start) bool { return s.user == fmt.Sprint("new-", i) })
		submitted := c.Tasks(fmt.Sprint("new-", i))[fmt.Sprint("new-", i)].CreatedAt
		n := 0
		for _, s := range all[:at] {
			if s.at.After(submitted) {
				n++
			}
		}
		ahead = append(ahead, n)
	}
	if slices.Max(ahead) > 3 { // as many as there are slots may begin while it is on its way
		t.Errorf("so many began between each submission and the start: %v, want no more than run and were on their way", ahead)
	}
}
