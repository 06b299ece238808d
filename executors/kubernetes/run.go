package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// Pauses between two tries to reach the API.
const (
	pauseFirst = 200 * time.Millisecond
	pauseMost  = 5 * time.Second
)

// run is the life of one Job.
type run struct {
	api       *kubeapi.Client
	call      *executors.Call
	namespace string
	name      string // of the Job
	grace     time.Duration
	keep      bool

	logs *logs
	pod  pod // as the API told last
	said said
}

// said is what the task's progress says that the Job waits for. Safe for concurrent use.
type said struct {
	mu   sync.Mutex
	text string // empty: it does not wait
}

func (s *said) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// set reports whether it is another text than before.
func (s *said) set(text string) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = s.text != text
	s.text = text
	return changed
}

// waits says what the Job waits for.
func (r *run) waits(why string) {
	if why != "" && r.said.set(why) {
		r.call.Reporter.Progress(0, "waits: "+why)
	}
}

func (r *run) jobs() string { return "/apis/batch/v1/namespaces/" + r.namespace + "/jobs" }
func (r *run) pods() string { return "/api/v1/namespaces/" + r.namespace + "/pods" }

// selector chooses the objects of this attempt.
func (r *run) selector() url.Values {
	return url.Values{"labelSelector": {fmt.Sprintf("%s=%s,%s=%d", labelKey, keyOf(r.call), labelAttempt, r.call.Attempt)}}
}

// do makes the Job and stays with it until its container has ended. When it returns, the Job and its pod are gone (with keep: if the
// container ended by itself, the cluster removes them later).
func (r *run) do(ctx context.Context, job object) (how *ended, err error) {
	if err := endOlder(ctx, r); err != nil {
		return nil, executors.Ended(ctx, err)
	}
	if err := r.make(ctx, job); err != nil {
		if ctx.Err() != nil {
			r.remove(ctx)
		}
		return nil, executors.Ended(ctx, err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { r.renew(ctx, stop) })
	defer beside.Wait()
	defer stop(nil)

	reading := r.logs.start(ctx, r.api)
	how, err = r.follow(ctx, reading)
	if how == nil || err != nil { // it may still run: its last words come while it is removed
		r.remove(ctx)
		reading.finish()
		return how, err
	}
	reading.finish()
	if !r.keep {
		r.remove(ctx)
	}
	return how, nil
}

// make makes the Job. It tries again while the API can't be reached, and takes a Job that is there already for the one that it made.
func (r *run) make(ctx context.Context, job object) error {
	for pause := pauseFirst; ; pause = min(2*pause, pauseMost) {
		// The context's end does not break this off: nobody would know whether there is a Job.
		err := r.api.Call(context.WithoutCancel(ctx), http.MethodPost, r.jobs(), nil, job, nil)
		if kubeapi.CodeOf(err) == http.StatusConflict {
			var there struct {
				Metadata struct {
					Labels            map[string]string `json:"labels"`
					DeletionTimestamp string            `json:"deletionTimestamp"`
				} `json:"metadata"`
			}
			err = r.api.Call(ctx, http.MethodGet, r.jobs()+"/"+r.name, nil, nil, &there)
			switch labels := there.Metadata.Labels; {
			case err != nil && kubeapi.CodeOf(err) != http.StatusNotFound:
			case err == nil && labels[labelKey] != keyOf(r.call):
				return executors.Permanent(fmt.Errorf("there is a Job %s in %s that is not Taskgrove's", r.name, r.namespace))
			case err == nil && there.Metadata.DeletionTimestamp == "":
				return nil
			default: // it is on its way out
				err = errors.New("a Job of the same name is being deleted")
			}
		}
		if err == nil {
			return nil
		}
		if code := kubeapi.CodeOf(err); code != 0 && code < 500 && code != http.StatusTooManyRequests {
			return classed("make Job", err)
		}
		select {
		case <-ctx.Done():
			return classed("make Job", err)
		case <-time.After(pause):
		}
	}
}

// follow watches the pod until the task's container has ended, and has its output read from its beginning on.
func (r *run) follow(ctx context.Context, reading *reading) (how *ended, err error) {
	seen := make(chan struct{})
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() { r.explain(ctx, seen) })
	first := sync.OnceFunc(func() { close(seen) })
	err = r.observe(ctx, func(kind string) (bool, error) {
		first()
		if r.pod.begun() {
			reading.begin(r.pods() + "/" + r.pod.Metadata.Name + "/log")
			if r.said.set("") {
				r.call.Reporter.Progress(0, "running on "+r.pod.Spec.NodeName)
			}
		}
		var lost error
		if how, lost = r.pod.outcome(); how != nil || lost != nil {
			return true, lost
		}
		if kind == "DELETED" {
			return true, errors.New("the pod was deleted by somebody else")
		}
		why, inVain := r.pod.waits()
		r.waits(why)
		return inVain != nil, inVain
	})
	if ctx.Err() != nil && how == nil {
		err = context.Cause(ctx)
		if said := r.said.get(); said != "" && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("%w; the pod waited: %s", err, said)
		}
	}
	return how, err
}

// Pauses of the look at why there is no pod: the cluster makes one within a second otherwise.
const (
	explainFirst = 2 * time.Second
	explainMost  = 30 * time.Second
)

// explain says why the cluster makes no pod (a quota, an admission controller), until one was seen or the context ends. Only events have that, which
// the worker's account need not be allowed to read.
func (r *run) explain(ctx context.Context, seen <-chan struct{}) {
	query := url.Values{"fieldSelector": {"involvedObject.kind=Job,type=Warning,involvedObject.name=" + r.name}}
	for pause := explainFirst; ; pause = min(2*pause, explainMost) {
		select {
		case <-ctx.Done():
			return
		case <-seen:
			return
		case <-time.After(pause):
		}
		var events struct {
			Items []struct {
				Reason  string `json:"reason"`
				Message string `json:"message"`
			} `json:"items"`
		}
		err := r.api.Call(ctx, http.MethodGet, "/api/v1/namespaces/"+r.namespace+"/events", query, nil, &events)
		select {
		case <-seen:
			return
		default:
		}
		if err == nil && len(events.Items) > 0 {
			last := events.Items[len(events.Items)-1]
			r.waits(last.Reason + ": " + last.Message)
		}
	}
}

// observe tells of each state of the pod, until tell has seen enough (and gives its error) or the context ends. It looks again whenever a watch
// breaks.
func (r *run) observe(ctx context.Context, tell func(kind string) (enough bool, verdict error)) error {
	pause := pauseFirst
	for ctx.Err() == nil {
		var list struct {
			Metadata struct {
				ResourceVersion string `json:"resourceVersion"`
			} `json:"metadata"`
			Items []pod `json:"items"`
		}
		err := r.api.Call(ctx, http.MethodGet, r.pods(), r.selector(), nil, &list)
		if code := kubeapi.CodeOf(err); code == http.StatusForbidden || code == http.StatusUnauthorized {
			return classed("look for the pod", err)
		}
		if err == nil {
			pause = pauseFirst
			var enough bool
			var verdict error
			for _, p := range list.Items {
				r.pod = p
				if enough, verdict = tell("ADDED"); enough {
					return verdict
				}
			}
			err = r.api.Watch(ctx, r.pods(), r.selector(), list.Metadata.ResourceVersion, func(e kubeapi.Event) bool {
				var p pod
				if json.Unmarshal(e.Object, &p) == nil && p.Metadata.Name != "" && e.Type != "BOOKMARK" {
					r.pod = p
					enough, verdict = tell(e.Type)
				}
				return enough
			})
			if enough {
				return verdict
			}
		}
		if err != nil { // a watch that ends without one is begun again at once
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, pauseMost)
		}
	}
	return context.Cause(ctx)
}

// renew keeps the Job's lease, until the context ends. It ends the attempt if it may not: another worker would take the Job for left.
func (r *run) renew(ctx context.Context, stop context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(leaseFor / 4):
		}
		patch := object{"metadata": object{"annotations": object{noteLease: leaseFrom(time.Now())}}}
		err := r.api.Call(ctx, http.MethodPatch, r.jobs()+"/"+r.name, nil, patch, nil)
		if code := kubeapi.CodeOf(err); code == http.StatusForbidden || code == http.StatusMethodNotAllowed {
			stop(classed("renew the lease of the Job", err))
			return
		} // else the next one comes soon
	}
}

// remove deletes the Job with its pod and waits until both are gone, or as long as the cluster may take for that.
func (r *run) remove(ctx context.Context) {
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.grace+kubeapi.RequestWithin)
	defer cancel()
	if err := removeJob(removing, r.api, r.jobs(), r.name); err != nil {
		r.call.Reporter.Log("log", fmt.Sprintf("Job %s in %s is not gone yet (%v): the cluster ends it when its time is over", r.name, r.namespace, err))
	}
}

// removeJob deletes a Job in the foreground: the Job itself goes last, when its pods have ended.
func removeJob(ctx context.Context, a *kubeapi.Client, jobs, name string) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := a.Call(ctx, http.MethodDelete, jobs+"/"+name, nil, object{"propagationPolicy": "Foreground"}, nil)
		switch kubeapi.CodeOf(err) {
		case http.StatusNotFound:
			return nil
		case http.StatusForbidden, http.StatusUnauthorized:
			return err
		}
		if err == nil {
			err = errors.New("its pod is still ending")
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}
