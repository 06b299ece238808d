package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/queue"
)

// natsConfigCommand renders what an external NATS server has to know of us.
func natsConfigCommand() *cobra.Command {
	var prefix string
	var output *formatFlag
	var coordinators, workers, groups []string
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
			"exports and imports, for programs that make a configuration of their own; nats-server itself does not read it.",
		Example: "  taskgrove nats-config --coordinator coordinator --worker cpu-1 --worker gpu-1=gpu,rest_executor > users.conf\n" +
			"  taskgrove nats-config --group http=rest_executor,llm_executor --group commands=command_executor > users.conf",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			users, err := natsUsers(prefix, coordinators, workers, groups)
			if err != nil {
				return err
			}
			if output.format != formatText {
				return output.format.write(cmd.OutOrStdout(), natsDocument{natsGrants(prefix, users), queue.ServerAccounts(prefix, users)})
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), natsHeader, queue.ServerConfig(prefix, users))
			return err
		},
	}
	output = outputFlag(cmd, formatText, formatJSON, formatYAML)
	cmd.Flags().StringVar(&prefix, "prefix", "tg", "beginning of all subjects and streams, as TASKGROVE_NATS_PREFIX")
	cmd.Flags().StringArrayVar(&coordinators, "coordinator", []string{"coordinator"}, "name of a coordinators' user; may be repeated")
	cmd.Flags().StringArrayVar(&workers, "worker", nil, "id of a worker, or id=pool,pool; without pools it may serve all; may be repeated")
	cmd.Flags().StringArrayVar(&groups, "group", nil, "name of a group of workers, or group=pool,pool; without pools they may serve all; may be repeated")
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
	PasswordVariable string   `json:"password_variable"` // the environment variable that is to hold it
	Publish          []string `json:"publish"`
	Subscribe        []string `json:"subscribe"`
	Account          string   `json:"account"`
}

func natsGrants(prefix string, users []queue.ServerUser) []natsGrant {
	out := make([]natsGrant, 0, len(users))
	for _, user := range users {
		granted := user.Permissions(prefix)
		out = append(out, natsGrant{user.Name, strings.TrimPrefix(user.Password, "$"), granted.Publish, granted.Subscribe, user.Account(prefix)})
	}
	return out
}

// natsUsers reads the flags' values.
func natsUsers(prefix string, coordinators, workers, groups []string) ([]queue.ServerUser, error) {
	var users []queue.ServerUser
	taken := map[string]string{} // variable -> user
	add := func(name string, pools []string, group bool) error {
		if !queue.ValidName(name) {
			return usage("%q is no name: 1 to 64 letters, digits, - and _", name)
		}
		variable := "TASKGROVE_PASSWORD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if other, ok := taken[variable]; ok {
			return usage("users %s and %s would share the variable %s", other, name, variable)
		}
		taken[variable] = name
		users = append(users, queue.ServerUser{Name: name, Password: "$" + variable, Pools: pools, Group: group})
		return nil
	}
	if !queue.ValidName(prefix) {
		return nil, usage("--prefix %q is no name: 1 to 64 letters, digits, - and _", prefix)
	}
	for _, name := range coordinators {
		if err := add(name, nil, false); err != nil {
			return nil, err
		}
	}
	for i, worker := range append(workers[:len(workers):len(workers)], groups...) {
		flag, group := "--worker", false
		if i >= len(workers) {
			flag, group = "--group", true
		}
		id, list, named := strings.Cut(worker, "=")
		pools := []string{"*"}
		if named {
			pools = strings.Split(list, ",")
			for _, pool := range pools {
				if !queue.ValidName(pool) {
					return nil, usage("%s %s: %q is no name of a pool: 1 to 64 letters, digits, - and _", flag, id, pool)
				}
			}
		}
		if err := add(id, pools, group); err != nil {
			return nil, err
		}
	}
	return users, nil
}
