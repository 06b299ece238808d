package kubernetes

import (
	"errors"
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// pod is the part of a pod that counts.
type pod struct {
	Metadata struct {
		Name              string `json:"name"`
		DeletionTimestamp string `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase      string      `json:"phase"`
		Reason     string      `json:"reason"`
		Message    string      `json:"message"`
		Conditions []condition `json:"conditions"`
		Containers []container `json:"containerStatuses"`
		Inits      []container `json:"initContainerStatuses"`
	} `json:"status"`
}

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type container struct {
	Name    string `json:"name"`
	ImageID string `json:"imageID"`
	State   struct {
		Waiting *struct {
			Reason  string `json:"reason"`
			Message string `json:"message"`
		} `json:"waiting"`
		Running    *struct{} `json:"running"`
		Terminated *ended    `json:"terminated"`
	} `json:"state"`
}

// ended is how a container ended.
type ended struct {
	ExitCode int    `json:"exitCode"`
	Signal   int    `json:"signal"`
	Reason   string `json:"reason"` // Completed, Error, OOMKilled, ContainerCannotRun, ...
	Message  string `json:"message"`
}

// main is the container that runs the task; nil: the kubelet has not told of it.
func (p *pod) main() *container {
	for i, c := range p.Status.Containers {
		if c.Name == mainContainer {
			return &p.Status.Containers[i]
		}
	}
	return nil
}

// begun reports whether the task's container runs, or has run.
func (p *pod) begun() bool {
	c := p.main()
	return c != nil && (c.State.Running != nil || c.State.Terminated != nil)
}

// hopeless are reasons for which a container waits that no time mends.
var hopeless = map[string]bool{"InvalidImageName": true, "ErrImageNeverPull": true, "CreateContainerConfigError": true}

// gone are signs in a kubelet's message that there is no such image, or no right to it.
var gone = []string{"not found", "not exist", "manifest unknown", "unauthorized", "denied", "authorization failed", "no basic auth"}

// waits says what the pod waits for, and whether waiting is in vain. why is empty while it goes its usual way.
func (p *pod) waits() (why string, inVain error) {
	for _, c := range append(p.Status.Inits, p.Status.Containers...) {
		w := c.State.Waiting
		if w == nil || w.Reason == "" || w.Reason == "ContainerCreating" || w.Reason == "PodInitializing" {
			continue
		}
		why = w.Reason
		if w.Message != "" {
			why += ": " + w.Message
		}
		if hopeless[w.Reason] {
			return why, executors.Permanent(errors.New(why))
		}
		if w.Reason == "ImagePullBackOff" || w.Reason == "ErrImagePull" {
			for _, sign := range gone {
				if strings.Contains(strings.ToLower(w.Message), sign) {
					return why, executors.Permanent(errors.New(why))
				}
			}
		}
		return why, nil
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			return c.Reason + ": " + c.Message, nil
		}
	}
	return "", nil
}

// outcome is how the task's container ended; nil: it has not. lost says why the pod was ended by something else than its own program: another
// attempt may run through.
func (p *pod) outcome() (how *ended, lost error) {
	for _, c := range p.Status.Conditions {
		if c.Type == "DisruptionTarget" && c.Status == "True" {
			lost = fmt.Errorf("the pod was ended by the cluster: %s: %s", c.Reason, c.Message)
		}
	}
	c := p.main()
	if c != nil && c.State.Terminated != nil {
		how = c.State.Terminated
		if lost != nil && how.ExitCode == 0 {
			lost = nil
		}
		if p.Status.Reason != "Evicted" {
			return how, lost
		}
	}
	if p.Status.Phase == "Failed" {
		if lost == nil {
			lost = fmt.Errorf("the pod failed: %s", strings.Trim(p.Status.Reason+": "+p.Status.Message, ": "))
		}
		return how, lost
	}
	return nil, nil
}
