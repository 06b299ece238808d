package main

import (
	"fmt"
	"strings"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/queue"
)

// natsFlags are the flags of nats-config.
type natsFlags struct {
	place                         queue.Place
	coordinators, workers, groups []string
	keys                          []string // name=public key
	certificates                  bool
	secrets, kubeconfig, space    string // of Kubernetes
}

// natsConfigCommand renders what an external NATS server has to know of us.
func natsConfigCommand() *cobra.Command {
	f := &natsFlags{}
	var output *formatFlag
	cmd := &cobra.Command{
		Use:   "nats-config",
		Short: "Print accounts, users and permissions for an external NATS server",
		Long: "Prints the accounts block of nats-server's configuration, to include there.\n\n" +
			"Coordinators share an account, which holds the streams. Each worker has an account of its own, into which only\n" +
			"what its pools need is imported: permissions alone would not keep workers apart, as a server sends answers to\n" +
			"any reply subject. Passwords are not part of it: the server reads them from the environment variables that\n" +
			"the block names. A worker's user name is its id (TASKGROVE_WORKER_ID).\n\n" +
			"A group is a user and an account for several workers, whose ids are GROUP.MEMBER: the pods of a Deployment. Its members\n" +
			"can do everything in each other's name; they reach nothing of other groups and workers.\n\n" +
			"With -o json or yaml: one object with the users, what each may publish and subscribe to, and the accounts with their\n" +
			"exports and imports, for programs that make a configuration of their own; nats-server itself does not read it.\n\n" +
			"With --kubernetes-secrets NAME it prints no block, but makes Secrets in Kubernetes: NAME-nats-server with the block\n" +
			"(accounts.conf, passwords in it), NAME-nats-coordinator and, for each group, NAME-nats-group-GROUP (user, password). It may run\n" +
			"again and again: passwords that are there stay, also those that you have written, and Secrets of groups that are gone are deleted.\n" +
			"When the block has changed and there is a StatefulSet NAME-nats, its pods are started again, one after the other. The service\n" +
			"account of the pod, or the kubeconfig's user, needs create of secrets, get, patch and delete of those Secrets, and get and patch of that StatefulSet.",
		Example: "  taskgrove nats-config --coordinator coordinator --worker cpu-1 --worker gpu-1=gpu,rest_executor > users.conf\n" +
			"  taskgrove nats-config --group http=rest_executor,llm_executor --group commands=command_executor > users.conf\n" +
			"  taskgrove nats-config --kubernetes-secrets grove --group http=rest_executor",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			users, err := f.users()
			if err != nil {
				return err
			}
			if f.secrets != "" {
				return f.makeSecrets(cmd, users)
			}
			if output.format != formatText {
				return output.format.write(cmd.OutOrStdout(), natsDocument{natsGrants(f.place, users), f.place.ServerAccounts(users)})
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), natsHeader, f.place.ServerConfig(users))
			return err
		},
	}
	output = outputFlag(cmd, formatText, formatJSON, formatYAML)
	flags := cmd.Flags()
	flags.StringVar(&f.place.Prefix, "prefix", "tg", "beginning of all subjects and streams, as TASKGROVE_NATS_PREFIX")
	flags.StringVar(&f.place.Domain, "domain", "", "JetStream domain of the streams, as TASKGROVE_NATS_DOMAIN of the coordinators")
	flags.StringArrayVar(&f.coordinators, "coordinator", []string{"coordinator"}, "name of a coordinators' user; may be repeated")
	flags.StringArrayVar(&f.workers, "worker", nil, "id of a worker, or id=pool,pool; without pools it may serve all; may be repeated")
	flags.StringArrayVar(&f.groups, "group", nil, "name of a group of workers, or group=pool,pool; without pools they may serve all; may be repeated")
	flags.StringArrayVar(&f.keys, "nkey", nil, "user=KEY: the user logs in with the NKey whose public key (U...) that is, not with a password; may be repeated")
	flags.BoolVar(&f.certificates, "certificates", false, "users without an NKey log in with a certificate that has their name as a DNS name; the server's tls block needs verify_and_map: true")
	flags.StringVar(&f.secrets, "kubernetes-secrets", "", "make Secrets in Kubernetes whose names begin with this one")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "with --kubernetes-secrets: kubeconfig of the cluster; empty: the service account of the pod that this runs in")
	flags.StringVar(&f.space, "kubernetes-namespace", "", "with --kubernetes-secrets: their namespace; empty: that of the service account or of the kubeconfig's context")
	mustComplete(cmd, "nkey", cobra.NoFileCompletions)
	return cmd
}

const natsHeader = "# Accounts and users of Taskgrove. JetStream must be on; the server reads the passwords from the variables named here.\n"

// natsDocument is what -o json and yaml print.
type natsDocument struct {
	Users    []natsGrant     `json:"users"`
	Accounts []queue.Account `json:"accounts"`
}

// natsGrant is a user as they show it.
type natsGrant struct {
	User             string   `json:"user"`
	PasswordVariable string   `json:"password_variable,omitempty"` // the environment variable that is to hold it
	NKey             string   `json:"nkey,omitempty"`              // public key
	Publish          []string `json:"publish"`
	Subscribe        []string `json:"subscribe"`
	Account          string   `json:"account"`
}

func natsGrants(place queue.Place, users []queue.ServerUser) []natsGrant {
	out := make([]natsGrant, 0, len(users))
	for _, user := range users {
		granted := place.Permissions(user)
		out = append(out, natsGrant{
			user.Name, strings.TrimPrefix(user.Password, "$"), user.NKey, granted.Publish, granted.Subscribe, user.Account(place.Prefix),
		})
	}
	return out
}

// users reads the flags' values.
func (f *natsFlags) users() ([]queue.ServerUser, error) {
	switch {
	case !queue.ValidName(f.place.Prefix):
		return nil, usage("--prefix %q is no name: 1 to 64 letters, digits, - and _", f.place.Prefix)
	case f.place.Domain != "" && !queue.ValidName(f.place.Domain):
		return nil, usage("--domain %q is no name: 1 to 64 letters, digits, - and _", f.place.Domain)
	}
	list := &natsUsers{variables: map[string]string{}}
	for _, name := range f.coordinators {
		if err := list.add("--coordinator", name, queue.ServerUser{}); err != nil {
			return nil, err
		}
	}
	for _, worker := range f.workers {
		if err := list.add("--worker", worker, queue.ServerUser{Pools: []string{"*"}}); err != nil {
			return nil, err
		}
	}
	for _, group := range f.groups {
		if err := list.add("--group", group, queue.ServerUser{Pools: []string{"*"}, Group: true}); err != nil {
			return nil, err
		}
	}
	return list.all, f.logins(list.all)
}

// natsUsers collects users.
type natsUsers struct {
	all       []queue.ServerUser
	variables map[string]string // variable -> user
}

// add adds a user by what its flag says: a name, and for a worker perhaps pools.
func (l *natsUsers) add(flag, text string, user queue.ServerUser) error {
	name, pools, named := strings.Cut(text, "=")
	if user.Pools == nil {
		name, named = text, false
	}
	if !queue.ValidName(name) {
		return usage("%s: %q is no name: 1 to 64 letters, digits, - and _", flag, name)
	}
	if named {
		user.Pools = strings.Split(pools, ",")
		for _, pool := range user.Pools {
			if !queue.ValidName(pool) {
				return usage("%s %s: %q is no name of a pool: 1 to 64 letters, digits, - and _", flag, name, pool)
			}
		}
	}
	variable := "TASKGROVE_PASSWORD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if other, ok := l.variables[variable]; ok {
		return usage("users %s and %s would share the variable %s", other, name, variable)
	}
	l.variables[variable] = name
	user.Name, user.Password = name, "$"+variable
	l.all = append(l.all, user)
	return nil
}

// logins gives users NKeys and certificates in place of passwords.
func (f *natsFlags) logins(users []queue.ServerUser) error {
	keys := map[string]string{}
	for _, text := range f.keys {
		name, key, _ := strings.Cut(text, "=")
		switch {
		case strings.HasPrefix(key, "S"):
			return usage("--nkey %s: that is a seed, which is secret: the server needs the public key, which begins with U", name)
		case !nkeys.IsValidPublicUserKey(key):
			return usage("--nkey %s: it takes user=KEY, with the public key of an NKey of a user, which begins with U", name)
		case keys[name] != "":
			return usage("--nkey %s is there twice", name)
		}
		keys[name] = key
	}
	for i := range users {
		switch key, ok := keys[users[i].Name]; {
		case ok:
			users[i].NKey, users[i].Password = key, ""
			delete(keys, users[i].Name)
		case f.certificates:
			users[i].Password = ""
		}
	}
	for name := range keys {
		return usage("--nkey %s: there is no user of that name", name)
	}
	return nil
}
