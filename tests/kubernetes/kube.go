package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// kube runs commands against the cluster that kubectl is set up for, and keeps what was measured.
type kube struct {
	s     settings
	began time.Time

	mu      sync.Mutex
	figures []figure // guarded by mu
}

// figure is a line of the report.
type figure struct{ what, value string }

func (k *kube) figure(what string, value any) {
	if d, ok := value.(time.Duration); ok {
		value = d.Round(100 * time.Millisecond)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.figures = append(k.figures, figure{what, fmt.Sprint(value)})
	k.say("%s: %v", what, value)
}

// say prints a line with the time since the beginning.
func (k *kube) say(format string, args ...any) {
	fmt.Printf("%7.1f s  %s\n", time.Since(k.began).Seconds(), fmt.Sprintf(format, args...))
}

// run runs a command, prints it as a user would type it, and returns its standard output. Its error has what the command said.
func (k *kube) run(ctx context.Context, name string, args ...string) (string, error) {
	k.say("$ %s %s", name, strings.Join(args, " "))
	return k.quietly(ctx, name, args...)
}

// quietly is run without a word: for what is asked again and again.
func (k *kube) quietly(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(faults.String())
		if said == "" {
			said = strings.TrimSpace(out.String())
		}
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return out.String(), nil
}

// pod is what is needed of one.
type pod struct{ Name, Node string }

// pods are the running ones of a component; of a pool group if group is not empty.
func (k *kube) pods(ctx context.Context, component, group string) ([]pod, error) {
	selector := "app.kubernetes.io/instance=" + k.s.release + ",app.kubernetes.io/component=" + component
	if group != "" {
		selector += ",taskgrove.dev/group=" + group
	}
	text, err := k.quietly(ctx, "kubectl", "-n", k.s.namespace, "get", "pods", "-l", selector, "--field-selector=status.phase=Running", "-o", "json")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name, DeletionTimestamp string }
			Spec     struct{ NodeName string }
		}
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	var pods []pod
	for _, item := range list.Items {
		if item.Metadata.DeletionTimestamp == "" {
			pods = append(pods, pod{item.Metadata.Name, item.Spec.NodeName})
		}
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("no pod runs with the labels %s", selector)
	}
	return pods, nil
}

// kill ends a pod at once, without a word to its process.
func (k *kube) kill(ctx context.Context, component, group string) error {
	pods, err := k.pods(ctx, component, group)
	if err != nil {
		return err
	}
	_, err = k.run(ctx, "kubectl", "-n", k.s.namespace, "delete", "pod", pods[0].Name, "--grace-period=0", "--force")
	return err
}

// rolledOut waits until all Deployments and StatefulSets are as they are wanted.
func (k *kube) rolledOut(ctx context.Context) error {
	names, err := k.quietly(ctx, "kubectl", "-n", k.s.namespace, "get", "deployments,statefulsets", "-l", "app.kubernetes.io/instance="+k.s.release, "-o", "name")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(names) {
		if _, err := k.quietly(ctx, "kubectl", "-n", k.s.namespace, "rollout", "status", name, "--timeout=4m"); err != nil {
			return err
		}
	}
	return nil
}

// address is where the coordinators' Service is reached from this machine: a port of its nodes.
func (k *kube) address(ctx context.Context) (string, error) {
	text, err := k.quietly(ctx, "kubectl", "-n", k.s.namespace, "get", "service", "-l",
		"app.kubernetes.io/instance="+k.s.release+",app.kubernetes.io/component=coordinator", "-o", "json")
	if err != nil {
		return "", err
	}
	var list struct {
		Items []struct {
			Spec struct {
				Ports []struct {
					Name     string
					NodePort int
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return "", err
	}
	for _, item := range list.Items {
		for _, port := range item.Spec.Ports {
			if port.Name == "grpc" && port.NodePort != 0 {
				return fmt.Sprintf("127.0.0.1:%d", port.NodePort), nil
			}
		}
	}
	return "", errors.New("the coordinators' Service has no port grpc with a nodePort")
}

// dump prints what helps to see why something did not come about.
func (k *kube) dump(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"get", "pods", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "-l", "app.kubernetes.io/component=coordinator", "--tail=60", "--prefix"},
		{"logs", "-l", "app.kubernetes.io/component=worker", "--tail=20", "--prefix"},
	} {
		out, err := k.quietly(ctx, "kubectl", append([]string{"-n", k.s.namespace}, args...)...)
		fmt.Fprintf(os.Stderr, "--- kubectl %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// sleep waits, unless the context ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
