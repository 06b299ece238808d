package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/tests/versions"
)

// settings are the command line's.
type settings struct {
	chart, values, namespace string
	release                  string // name of the release
	tag, previous            string // of the images: this version's, and that of the version before; none: the release is not upgraded
	previousRef              string // commit of the version before; empty: the history of VERSION tells
	trees, size              int    // trees, and tasks in each
	atOnce                   int    // trees that are unfinished at the same time
	nodeDown, nodeUp, node   string // commands that end and start the node, and its name
	only                     string // part that is played: install or load; empty: both
	keep                     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var s settings
	flag.StringVar(&s.chart, "chart", "charts/taskgrove", "directory of the chart")
	flag.StringVar(&s.values, "values", "tests/kubernetes/values.yaml", "values of the load run")
	flag.StringVar(&s.namespace, "namespace", "taskgrove-test", "namespace, which is made and deleted")
	flag.StringVar(&s.release, "release", "taskgrove", "name of the release")
	flag.StringVar(&s.tag, "tag", "", "tag of this version's images")
	flag.StringVar(&s.previous, "previous", "", "tag of the image of the version before, to which its number is the default; none: the release is not upgraded")
	flag.StringVar(&s.previousRef, "previous-ref", "", "commit of the version before; empty: the one that the history of VERSION tells")
	load := flag.String("load", "", "build the images and copy them to the cluster's nodes by this command, which is called with their names; empty: they are there")
	flag.IntVar(&s.trees, "trees", 100, "trees of the load run")
	flag.IntVar(&s.size, "size", 1000, "tasks in each")
	flag.IntVar(&s.atOnce, "at-once", 16, "trees that are unfinished at the same time")
	flag.StringVar(&s.node, "node", "node2", "the node that is killed")
	flag.StringVar(&s.nodeDown, "node-down", "", "command that kills that node; empty: no node is killed")
	flag.StringVar(&s.nodeUp, "node-up", "", "command that starts it again")
	flag.StringVar(&s.only, "only", "", "play only one part: install or load")
	flag.BoolVar(&s.keep, "keep", false, "leave the release and its namespace in place")
	flag.Parse()
	if err := run(ctx, s, *load); err != nil {
		fmt.Fprintln(os.Stderr, "cluster test:", err)
		os.Exit(1)
	}
	fmt.Println("cluster test: passed")
}

// run plays both parts, the first install and the load, and prints the figures.
func run(ctx context.Context, s settings, load string) (err error) {
	if s.tag == "" {
		return errors.New("-tag is missing: make cluster-test sets it")
	}
	if s.size < layers*3 {
		return fmt.Errorf("-size %d: a tree has %d tasks at least", s.size, layers*3)
	}
	before, err := s.before()
	if err != nil {
		return err
	}
	if s.previous == "" {
		s.previous = before.Version
	}
	k := &kube{s: s, began: time.Now()}
	if load != "" {
		if err := k.images(ctx, before, load); err != nil {
			return fmt.Errorf("images: %w", err)
		}
	}
	if _, err := k.run(ctx, "kubectl", "create", "namespace", s.namespace); err != nil {
		return err
	}
	if !s.keep {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
			defer cancel()
			_, gone := k.run(ctx, "kubectl", "delete", "namespace", s.namespace, "--wait=true")
			err = errors.Join(err, gone)
		}()
	}
	for _, label := range []string{"enforce", "warn"} { // a cluster that demands what is recommended
		if _, err := k.run(ctx, "kubectl", "label", "namespace", s.namespace, "pod-security.kubernetes.io/"+label+"=restricted"); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		name string
		play func(context.Context) error
	}{{"install", k.firstInstall}, {"load", k.underLoad}} {
		if s.only != "" && s.only != part.name {
			continue
		}
		if err := part.play(ctx); err != nil {
			k.dump(context.WithoutCancel(ctx))
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	fmt.Println("\n| figure | |\n|---|---|")
	for _, f := range k.figures {
		fmt.Printf("| %s | %s |\n", f.what, f.value)
	}
	return nil
}

// before is the version before this one.
func (s *settings) before() (versions.Commit, error) {
	if s.previousRef == "" {
		return versions.Before(".")
	}
	hash, err := exec.Command("git", "rev-parse", "--verify", s.previousRef+"^{commit}").Output()
	if err != nil {
		return versions.Commit{}, fmt.Errorf("-previous-ref: %w", err)
	}
	version, err := exec.Command("git", "show", s.previousRef+":VERSION").Output()
	return versions.Commit{Hash: strings.TrimSpace(string(hash)), Version: strings.TrimSpace(string(version))}, err
}

// trial are the values by which docs/kubernetes.md installs a cluster to try.
const trial = "auth.anonymous=true,postgres.builtin.enabled=true,nats.builtin.enabled=true"

// firstInstall installs the chart as the first command of docs/kubernetes.md does, and measures until a tree has ended.
func (k *kube) firstInstall(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	began := time.Now()
	if _, err := k.run(ctx, "helm", "install", k.s.release, k.s.chart, "-n", k.s.namespace, "--set", trial+",image.tag="+k.s.tag, "--wait", "--timeout", "5m"); err != nil {
		return err
	}
	k.figure("helm install of a cluster to try, until all is ready", time.Since(began))
	if _, err := k.run(ctx, "helm", "test", k.s.release, "-n", k.s.namespace, "--timeout", "3m"); err != nil {
		return err
	}
	took := time.Since(began)
	k.figure("from helm install to a tree that has ended", took)
	if took > 3*time.Minute {
		return fmt.Errorf("it took %s from helm install to a finished tree, more than 3 minutes", took)
	}
	return k.uninstall(ctx)
}

// uninstall removes the release, then what is kept of the built-in Postgres and NATS (volumes, and the password that belongs to one), and sees
// that nothing is left.
func (k *kube) uninstall(ctx context.Context) error {
	began := time.Now()
	if _, err := k.run(ctx, "helm", "uninstall", k.s.release, "-n", k.s.namespace, "--wait", "--timeout", "5m"); err != nil {
		return err
	}
	k.figure("helm uninstall", time.Since(began))
	selector := "app.kubernetes.io/instance=" + k.s.release
	if _, err := k.run(ctx, "kubectl", "-n", k.s.namespace, "delete", "pvc,secret", "-l", selector, "--wait=true", "--timeout=2m"); err != nil {
		return err
	}
	var left []string
	for range 60 { // pods that end are still listed
		names, err := k.quietly(ctx, "kubectl", "-n", k.s.namespace, "get", "all,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets",
			"-l", selector, "-o", "name")
		if err != nil {
			return err
		}
		if left = strings.Fields(names); len(left) == 0 {
			return nil
		}
		if err := sleep(ctx, time.Second); err != nil {
			break
		}
	}
	return fmt.Errorf("helm uninstall left: %s", strings.Join(left, ", "))
}
