package python

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// gitSource is a repository that has the code.
type gitSource struct {
	URL        string `json:"url"`
	Ref        string `json:"ref"`
	Path       string `json:"path"`
	Token      string `json:"token"`
	Key        string `json:"key"`
	KnownHosts string `json:"known_hosts"`
}

// address is the URL, taken apart; nil: it is none that may be used. git has more schemes, some of which start programs.
func (g *gitSource) address() *url.URL {
	u, err := url.Parse(g.URL)
	if err != nil || u.Hostname() == "" || u.Path == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasPrefix(u.Host, "-") ||
		u.Scheme != "https" && u.Scheme != "ssh" || strings.ContainsAny(g.URL, " \t\r\n\x00") {
		return nil
	}
	if user := u.User.Username(); strings.HasPrefix(user, "-") {
		return nil
	}
	return u
}

func (g *gitSource) check(fault func(string, ...any)) {
	u := g.address()
	switch {
	case g.URL == "":
		fault("git.url is required")
	case u == nil:
		fault("git.url: want an https:// or ssh:// URL")
	default:
		if _, has := u.User.Password(); has {
			fault("git.url: a password belongs into git.token")
		}
		if u.Scheme == "ssh" && g.KnownHosts == "" {
			fault("git.known_hosts is required for ssh: it says by which keys the server is known")
		}
		if u.Scheme == "ssh" && g.Token != "" || u.Scheme == "https" && g.Key != "" {
			fault("git: token is for https, and key for ssh")
		}
	}
	if g.Ref != "" && (!commitRule.MatchString(g.Ref) || strings.Contains(g.Ref, "..")) {
		fault("git.ref: %.100q is not a branch, tag or commit", g.Ref)
	}
	if g.Path != "" && !localFile(g.Path) {
		fault("git.path: %.100q is not a path below the repository", g.Path)
	}
	if strings.ContainsAny(g.Token, "\r\n\x00") {
		fault("git.token: contains a newline")
	}
}

// clone gets the files of the commit that a ref names, and nothing else of the repository.
func (j *job) clone(ctx context.Context, dir string) error {
	git, err := exec.LookPath("git")
	if err != nil {
		return executors.Permanent(errors.New("git was not found on this worker"))
	}
	env, err := j.gitEnviron()
	if err != nil {
		return err
	}
	ref := j.in.Git.Ref
	if ref == "" {
		ref = "HEAD"
	}
	u := *j.in.Git.address()
	if u.Scheme == "https" {
		u.User = nil // it is in the configuration, with the token
	}
	for _, args := range [][]string{
		{"init", "-q", "--template=", dir},
		{"-C", dir, "fetch", "-q", "--depth=1", "--no-tags", "--no-recurse-submodules", "--end-of-options", u.String(), ref},
		{"-C", dir, "checkout", "-q", "--detach", "FETCH_HEAD"},
	} {
		if err := j.run(ctx, git, args, env, dir, maxTreeBytes, invalid("git: the repository has more than %d bytes", maxTreeBytes)); err != nil {
			if failed, ok := errors.AsType[*toolError](err); ok && !failed.passing() {
				return executors.Permanent(err)
			}
			return err
		}
	}
	return os.RemoveAll(filepath.Join(dir, ".git"))
}

// gitEnviron is the complete environment of git: no configuration but ours, no prompts, no other transports than the two, and no way out but
// through the guard of addresses.
func (j *job) gitEnviron() ([]string, error) {
	way, err := j.gateway()
	if err != nil {
		return nil, err
	}
	u := j.in.Git.address()
	config := "[core]\n\tsymlinks = false\n\thooksPath = /dev/null\n[http]\n\tfollowRedirects = false\n[protocol]\n\tallow = never\n" +
		"[protocol \"https\"]\n\tallow = always\n[protocol \"ssh\"]\n\tallow = always\n"
	if token := j.in.Git.Token; token != "" {
		user := u.User.Username()
		if user == "" {
			user = "x-access-token"
		}
		// In a file of its own, as the environment and the arguments of a process can be seen by others.
		config += fmt.Sprintf("[http %q]\n\textraHeader = \"Authorization: Basic %s\"\n", "https://"+u.Host+"/",
			base64.StdEncoding.EncodeToString([]byte(user+":"+token)))
	}
	file := filepath.Join(j.dir, "gitconfig")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	env := append(slices.Clone(j.e.env), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+file, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true",
		"GIT_ALLOW_PROTOCOL=https:ssh", "GIT_LFS_SKIP_SMUDGE=1", "LC_ALL=C", "HOME="+j.dir)
	env = append(env, way.environ()...)
	if bundle, err := j.authorities(); err != nil {
		return nil, err
	} else if bundle != "" {
		env = append(env, "GIT_SSL_CAINFO="+bundle)
	}
	if u.Scheme != "ssh" {
		return env, nil
	}
	command, err := j.sshCommand(u, way)
	return append(env, "GIT_SSH_COMMAND="+command, "GIT_SSH_VARIANT=ssh"), err
}

// sshCommand is the program by which git reaches the server: through a port of the gateway, with the task's key alone, and only if the
// server has one of the keys that the task knows.
func (j *job) sshCommand(u *url.URL, way *gateway) (string, error) {
	port := u.Port()
	alias := u.Hostname()
	if port == "" || port == "22" {
		port = "22"
	} else {
		alias = "[" + alias + "]:" + port
	}
	local, err := way.forward(net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return "", err
	}
	_, localPort, err := net.SplitHostPort(local)
	if err != nil {
		return "", err
	}
	known, key := filepath.Join(j.dir, "known_hosts"), filepath.Join(j.dir, "key")
	for path, text := range map[string]string{known: j.in.Git.KnownHosts, key: j.in.Git.Key} {
		if err := os.WriteFile(path, []byte(strings.TrimRight(text, "\n")+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	options := []string{
		"BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=" + known, "GlobalKnownHostsFile=/dev/null", "CheckHostIP=no", "UpdateHostKeys=no",
		"IdentitiesOnly=yes", "IdentityAgent=none", "IdentityFile=" + key, "HostName=127.0.0.1", "Port=" + localPort, "HostKeyAlias=" + alias,
		"ProxyCommand=none", "ForwardAgent=no", "ClearAllForwardings=yes",
	}
	command := "ssh -F /dev/null"
	for _, option := range options {
		command += " -o " + quote(option)
	}
	return command, nil
}

// quote is a word for a shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
