package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/kubeapi"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	// natsSecretsWithin bounds one run: a Job that can't reach the API should say so before it is ended.
	natsSecretsWithin = 4 * time.Minute
	// natsConflicts is how often a Secret is read again because somebody else has changed it.
	natsConflicts = 20
	// natsAnnotation tells a StatefulSet's pods by which block they run.
	natsAnnotation = "taskgrove.dev/nats-accounts"
)

var (
	secretForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	// passwordForm are passwords that need no quoting, in a URL or in a server's configuration.
	passwordForm = regexp.MustCompile(`^[A-Za-z0-9_-]{8,}$`)
)

// makeSecrets brings the Secrets of Kubernetes to what the users need.
func (f *natsFlags) makeSecrets(cmd *cobra.Command, users []queue.ServerUser) error {
	switch {
	case !secretForm.MatchString(f.secrets) || len(f.secrets) > 63:
		return usage("--kubernetes-secrets %q is no name in Kubernetes: a-z, 0-9 and -, at most 63", f.secrets)
	case len(f.workers) > 0 || len(f.keys) > 0 || f.certificates:
		return usage("--kubernetes-secrets takes groups, with passwords: no --worker, --nkey or --certificates")
	case len(f.coordinators) != 1:
		return usage("--kubernetes-secrets takes one --coordinator")
	}
	for _, u := range users {
		if u.Group && !secretForm.MatchString(u.Name) {
			return usage("--group %q: with --kubernetes-secrets, names of groups have a-z, 0-9 and -", u.Name)
		}
	}
	access, err := kubeapi.Find(f.kubeconfig, kubeapi.Account)
	if err != nil {
		return fmt.Errorf("kubernetes: %w: see --kubeconfig", err)
	}
	if f.space == "" {
		f.space = access.Namespace
	}
	if f.space == "" {
		f.space = "default"
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), natsSecretsWithin)
	defer cancel()
	k := &natsSecrets{api: kubeapi.New(access), namespace: f.space, name: f.secrets, out: cmd.OutOrStdout()}
	defer k.api.Close()
	return k.run(ctx, f.place, users)
}

// natsSecrets are the Secrets of one release. Every step may be repeated, and two runs may do them at the same time: a Secret that somebody
// else has made or changed meanwhile is read again.
type natsSecrets struct {
	api             *kubeapi.Client
	namespace, name string
	out             io.Writer
}

// kubeSecret is the part of a Secret that counts.
type kubeSecret struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   kubeMetadata      `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

type kubeMetadata struct {
	Name            string            `json:"name,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
}

func (k *natsSecrets) group(name string) string { return k.name + "-nats-group-" + name }

func (k *natsSecrets) run(ctx context.Context, place queue.Place, users []queue.ServerUser) error {
	var groups []string
	for i := range users {
		name := k.name + "-nats-coordinator"
		if users[i].Group {
			name = k.group(users[i].Name)
			groups = append(groups, users[i].Name)
		}
		held, err := k.ensure(ctx, name, func(data map[string][]byte) (map[string][]byte, error) { return natsLogin(users[i].Name, data) })
		if err != nil {
			return err
		}
		users[i].Password = string(held["password"])
	}
	slices.Sort(groups)
	block := "# Accounts and users of Taskgrove, made by taskgrove nats-config --kubernetes-secrets.\n" + place.ServerConfig(users)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(block)))[:16]
	server := k.name + "-nats-server"
	gone := []string{}
	_, err := k.ensure(ctx, server, func(data map[string][]byte) (map[string][]byte, error) {
		gone = slices.DeleteFunc(strings.Fields(string(data["groups"])), func(g string) bool { return slices.Contains(groups, g) || !secretForm.MatchString(g) })
		all := slices.Sorted(slices.Values(append(slices.Clone(groups), gone...)))
		set := map[string][]byte{"accounts.conf": []byte(block), "groups": []byte(strings.Join(all, " "))}
		if data == nil { // pods that start from now on have it
			set["started"] = []byte(sum)
		}
		return set, nil
	})
	if err != nil {
		return err
	}
	left, err := k.remove(ctx, gone)
	if err != nil {
		return err
	}
	_, err = k.ensure(ctx, server, func(data map[string][]byte) (map[string][]byte, error) {
		set := map[string][]byte{"groups": []byte(strings.Join(slices.Sorted(slices.Values(append(slices.Clone(groups), left...))), " "))}
		if string(data["started"]) != sum {
			if err := k.startAgain(ctx, sum); err != nil {
				return nil, err
			}
			set["started"] = []byte(sum)
		}
		return set, nil
	})
	return err
}

// natsLogin is what a user's Secret lacks. A password that is there stays.
func natsLogin(user string, data map[string][]byte) (map[string][]byte, error) {
	set := map[string][]byte{"user": []byte(user)}
	switch password := data["password"]; {
	case len(password) == 0:
		set["password"] = []byte(rand.Text())
	case !passwordForm.Match(password):
		return nil, fmt.Errorf("the password in it has to have letters, digits, - and _ only, at least 8")
	}
	return set, nil
}

// ensure makes or changes a Secret so that it holds what fill says, given what it holds; nil: there is none. It returns what it holds then.
func (k *natsSecrets) ensure(ctx context.Context, name string, fill func(map[string][]byte) (map[string][]byte, error)) (map[string][]byte, error) {
	all := "/api/v1/namespaces/" + k.namespace + "/secrets"
	var err error
	for range natsConflicts {
		is := kubeSecret{}
		err = k.api.Insist(ctx, http.MethodGet, all+"/"+name, nil, nil, &is)
		missing := kubeapi.CodeOf(err) == http.StatusNotFound
		if err != nil && !missing {
			break
		}
		if !missing && is.Data == nil {
			is.Data = map[string][]byte{}
		}
		set, failed := fill(is.Data)
		if failed != nil {
			return nil, fmt.Errorf("secret %s: %w", name, failed)
		}
		if maps.EqualFunc(set, pick(is.Data, set), func(a, b []byte) bool { return string(a) == string(b) }) && !missing {
			return is.Data, nil
		}
		change := kubeSecret{Metadata: kubeMetadata{ResourceVersion: is.Metadata.ResourceVersion}, Data: set}
		method, path, done := http.MethodPatch, all+"/"+name, "changed"
		if missing {
			method, path, done = http.MethodPost, all, "made"
			change.APIVersion, change.Kind, change.Type = "v1", "Secret", "Opaque"
			change.Metadata = kubeMetadata{Name: name, Labels: map[string]string{
				"app.kubernetes.io/part-of": "taskgrove", "app.kubernetes.io/instance": k.name, "app.kubernetes.io/managed-by": "taskgrove-nats-config",
			}}
		}
		err = k.api.Insist(ctx, method, path, nil, change, nil)
		switch code := kubeapi.CodeOf(err); {
		case err == nil:
			k.say("%s Secret %s", done, name)
			held := maps.Clone(is.Data)
			if held == nil {
				held = map[string][]byte{}
			}
			maps.Copy(held, set)
			return held, nil
		case code != http.StatusConflict && code != http.StatusNotFound: // somebody has made, changed or deleted it
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
	}
	return nil, fmt.Errorf("secret %s: %w", name, err)
}

// pick is the part of held whose keys are in like.
func pick(held, like map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for key := range like {
		if value, ok := held[key]; ok {
			out[key] = value
		}
	}
	return out
}

// remove deletes the Secrets of groups, and tells which it was not allowed to delete.
func (k *natsSecrets) remove(ctx context.Context, groups []string) (left []string, err error) {
	for _, group := range groups {
		name := k.group(group)
		err := k.api.Insist(ctx, http.MethodDelete, "/api/v1/namespaces/"+k.namespace+"/secrets/"+name, nil, nil, nil)
		switch kubeapi.CodeOf(err) {
		case http.StatusForbidden:
			k.say("Secret %s is of a group that is gone, and may not be deleted by this account; its password is worth nothing any more: kubectl -n %s delete secret %s", name, k.namespace, name)
			left = append(left, group)
		case http.StatusNotFound:
		case 0:
			if err != nil {
				return nil, fmt.Errorf("secret %s: %w", name, err)
			}
			k.say("deleted Secret %s", name)
		default:
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
	}
	return left, nil
}

// startAgain has the pods of the built-in NATS servers started again, if there are such.
func (k *natsSecrets) startAgain(ctx context.Context, sum string) error {
	name := k.name + "-nats"
	path := "/apis/apps/v1/namespaces/" + k.namespace + "/statefulsets/" + name
	patch := map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]string{natsAnnotation: sum}}}}}
	err := k.api.Insist(ctx, http.MethodPatch, path, nil, patch, nil)
	switch kubeapi.CodeOf(err) {
	case http.StatusNotFound, http.StatusForbidden: // whoever may not see it learns nothing else
		k.say("accounts.conf in Secret %s-nats-server has changed, and no StatefulSet %s can be started again: let your servers read it", k.name, name)
		return nil
	case 0:
		if err == nil {
			k.say("pods of StatefulSet %s are started again, one after the other", name)
			return nil
		}
	}
	return fmt.Errorf("statefulset %s: %w", name, err)
}

func (k *natsSecrets) say(format string, args ...any) {
	_, _ = fmt.Fprintf(k.out, format+"\n", args...)
}
