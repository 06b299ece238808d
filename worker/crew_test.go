package worker

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crew{}
		var ran atomic.Int64
		idle := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.idle)
		}
		// Those that block do not keep others from running.
		gate := make(chan struct{})
		for range 2 * crewIdle {
			c.do(func() { <-gate; ran.Add(1) })
		}
		var quick sync.WaitGroup
		quick.Add(1)
		c.do(quick.Done)
		quick.Wait()
		close(gate)
		synctest.Wait()
		if ran.Load() != 2*crewIdle || idle() != crewIdle {
			t.Errorf("%d ran, %d wait; want %d and %d", ran.Load(), idle(), 2*crewIdle, crewIdle)
		}
		// One at a time: one goroutine serves.
		for range 10 {
			c.do(func() { ran.Add(1) })
			synctest.Wait()
		}
		if idle() != crewIdle {
			t.Errorf("%d wait", idle())
		}
		c.end()
		c.do(func() { ran.Add(1) })
		synctest.Wait() // all are gone, or the test would not end
		if ran.Load() != 2*crewIdle+11 || idle() != 0 {
			t.Errorf("%d ran, %d wait after the end", ran.Load(), idle())
		}
	})
}

func TestCrewLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crew{}
		for range 3 {
			c.do(func() {})
		}
		time.Sleep(2 * crewStays)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.idle == nil || len(c.idle) > 0 {
			t.Errorf("%d wait after their time, of three", len(c.idle))
		}
	})
}

func TestCrewOutlivesGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crew{}
		c.do(func() {}) // waits then, and is used for the next
		synctest.Wait()
		ran := false
		c.do(runtime.Goexit)
		synctest.Wait()
		c.do(func() { ran = true })
		synctest.Wait()
		if !ran {
			t.Error("the function after the one that ended its goroutine did not run")
		}
		c.end()
	})
}
