package programs

import (
	"path"
	"strings"
)

// starters are programs that start whatever their arguments name, or run code that their arguments or input hold. The list is
// not complete, and can't be: it is what a whitelist is likely to name.
var starters = words(`
	sh bash dash ash zsh ksh mksh fish csh tcsh busybox toybox pwsh
	python pypy perl ruby node nodejs deno bun php lua luajit tclsh wish expect guile java jshell groovy scala julia R Rscript
	awk gawk mawk nawk sed ed vi vim nvim view emacs nano less more man pg dc m4 gdb lldb strace ltrace perf
	env xargs find fd parallel nohup nice ionice timeout time stdbuf setsid watch flock script chrt taskset setarch chronic
	unbuffer entr rlwrap run-parts start-stop-daemon systemd-run at batch crontab exec eval source
	sudo su doas runuser pkexec chroot unshare nsenter capsh setpriv bwrap firejail ip
	ssh scp sftp rsync nc ncat socat telnet git hg svn tar zip cpio make cmake ninja gcc cc ld go cargo npm npx pip gem
	docker podman nerdctl ctr kubectl helm ansible terraform psql mysql sqlite mongo`)

func words(text string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		set[word] = true
	}
	return set
}

// Launchers are the entries of the allow-list by which a task can start any other program, in their order. A version at the end of
// a name does not matter (python3.13).
func (g *Guard) Launchers() (named []string) {
	for _, entry := range g.allowed {
		name := path.Base(entry)
		if starters[name] || starters[strings.TrimRight(name, "0123456789.-")] || strings.HasPrefix(name, "ld-linux") {
			named = append(named, entry)
		}
	}
	return named
}
