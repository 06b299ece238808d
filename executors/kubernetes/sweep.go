package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// Times of the sweep.
const (
	sweepEvery = 2 * time.Minute
	late       = 2 * time.Minute // clocks of two hosts differ by less
)

// jobList is the part of a list of Jobs that counts.
type jobList struct {
	Items []struct {
		Metadata struct {
			Name        string            `json:"name"`
			UID         string            `json:"uid"`
			Version     string            `json:"resourceVersion"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	} `json:"items"`
}

// endOlder deletes the Jobs of earlier attempts of the run in the namespace, and waits until they are gone. It fails if there is one of a later
// attempt: then this one is lost.
func endOlder(ctx context.Context, r *run) error {
	var all jobList
	query := url.Values{"labelSelector": {labelKey + "=" + keyOf(r.call)}}
	for pause := pauseFirst; ; pause = min(2*pause, pauseMost) {
		err := r.api.Call(ctx, http.MethodGet, r.jobs(), query, nil, &all)
		if err == nil {
			break
		}
		if code := kubeapi.CodeOf(err); code != 0 && code < 500 && code != http.StatusTooManyRequests {
			return classed("look for Jobs of earlier attempts", err)
		}
		select {
		case <-ctx.Done():
			return classed("look for Jobs of earlier attempts", err)
		case <-time.After(pause):
		}
	}
	for _, job := range all.Items {
		attempt, err := strconv.Atoi(job.Metadata.Labels[labelAttempt])
		switch {
		case err == nil && attempt > r.call.Attempt:
			return executors.ErrLeaseLost
		case err == nil && attempt < r.call.Attempt:
			if err := removeJob(ctx, r.api, r.jobs(), job.Metadata.Name); err != nil {
				return fmt.Errorf("end the Job of attempt %d: %w", attempt, err)
			}
		}
	}
	return nil
}

// sweep deletes what dead workers left in a namespace: Jobs that run without a lease. Those that have ended go by themselves.
func sweep(ctx context.Context, a *kubeapi.Client, namespace string) (removed int, err error) {
	jobs := "/apis/batch/v1/namespaces/" + namespace + "/jobs"
	var all jobList
	if err := a.Call(ctx, http.MethodGet, jobs, url.Values{"labelSelector": {labelWorker}}, nil, &all); err != nil {
		return 0, err
	}
	for _, job := range all.Items {
		until, bad := time.Parse(time.RFC3339, job.Metadata.Annotations[noteLease])
		hasEnded := slices.ContainsFunc(job.Status.Conditions, func(c condition) bool {
			return (c.Type == "Complete" || c.Type == "Failed") && c.Status == "True"
		})
		if bad != nil || hasEnded || time.Since(until) < late {
			continue
		}
		options := object{ // not if its worker has renewed the lease meanwhile
			"propagationPolicy": "Background",
			"preconditions":     object{"uid": job.Metadata.UID, "resourceVersion": job.Metadata.Version},
		}
		switch failed := a.Call(ctx, http.MethodDelete, jobs+"/"+job.Metadata.Name, nil, options, nil); kubeapi.CodeOf(failed) {
		case http.StatusNotFound, http.StatusConflict:
		default:
			if failed == nil {
				removed++
			}
			err = errors.Join(err, failed)
		}
	}
	return removed, err
}
