package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// pluginPrefix begins the names of programs that are commands: taskgrove-hello is "taskgrove hello".
const pluginPrefix = "taskgrove-"

// plugin finds the program on the PATH that the arguments name, when no command of ours does: of "one two", taskgrove-one-two before
// taskgrove-one. rest are its arguments. path is empty when there is none.
func plugin(root *cobra.Command, args []string) (path string, rest []string) {
	words := 0
	for words < len(args) && isPluginWord(args[words]) {
		words++
	}
	if words == 0 || isOwn(root, args[0]) {
		return "", nil
	}
	for ; words > 0; words-- {
		found, err := exec.LookPath(pluginPrefix + strings.Join(args[:words], "-"))
		if err == nil { // a program of the working directory is an error, too
			return found, args[words:]
		}
	}
	return "", nil
}

// isPluginWord: what can't be part of a file's path, nor a flag.
func isPluginWord(word string) bool {
	return word != "" && word[0] != '-' && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// isOwn: also those that cobra adds when it runs.
func isOwn(root *cobra.Command, name string) bool {
	if name == "help" || name == "completion" || strings.HasPrefix(name, cobra.ShellCompRequestCmd) {
		return true
	}
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
}

// become replaces this process with the program: its signals, terminal and exit code are the program's.
func become(path string, args []string) error {
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ())
	return fmt.Errorf("run %s: %w", path, err)
}

// pluginCommand lists the programs.
func pluginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Programs of yours that are commands, or executors",
		Long: "A program on the PATH whose name begins with taskgrove- is a command: taskgrove-hello runs as \"taskgrove hello\", with the arguments that follow.\n" +
			"A program that speaks the protocol of external executors is an executor: docs/external-executors.md.",
		Args: cobra.NoArgs,
	}
	list := &cobra.Command{Use: "list", Short: "List programs that are commands, and what keeps others from being one", Args: cobra.NoArgs}
	output := outputFlag(list, formatText, formatJSON, formatYAML)
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		found := plugins(cmd.Root(), filepath.SplitList(os.Getenv("PATH")))
		if output.format != formatText {
			return output.format.write(cmd.OutOrStdout(), found)
		}
		w := &firstError{Writer: harmlessWriter{cmd.OutOrStdout()}}
		for _, p := range found {
			fmt.Fprintln(w, oneLine(p.Path))
			if p.Fault != "" {
				fmt.Fprintf(w, "  %s\n", oneLine(p.Fault))
			}
		}
		if len(found) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "there are no plugins: programs on the PATH whose names begin with taskgrove-")
		}
		return w.err
	}
	cmd.AddCommand(list, pluginDescribeCommand(), pluginTestCommand())
	return cmd
}

// foundPlugin is a program whose name begins as those of plugins do.
type foundPlugin struct {
	Name  string `json:"name"` // the command's
	Path  string `json:"path"`
	Fault string `json:"fault,omitempty"` // why it does not run
}

// plugins are the programs in the directories, in their order.
func plugins(root *cobra.Command, dirs []string) []foundPlugin {
	all, first := []foundPlugin{}, map[string]string{}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // the shell does not complain, either
		}
		for _, f := range files {
			name, ok := strings.CutPrefix(f.Name(), pluginPrefix)
			if !ok || !isPluginWord(name) {
				continue
			}
			p := foundPlugin{Name: name, Path: filepath.Join(dir, f.Name())}
			p.Fault = pluginFault(root, p, first[name])
			if first[name] == "" {
				first[name] = p.Path
			}
			all = append(all, p)
		}
	}
	return all
}

func pluginFault(root *cobra.Command, p foundPlugin, before string) string {
	word, _, _ := strings.Cut(p.Name, "-")
	switch _, err := exec.LookPath(p.Path); {
	case errors.Is(err, fs.ErrPermission):
		return "is not executable"
	case err != nil:
		return err.Error()
	case before != "":
		return "is hidden by " + before
	case isOwn(root, word):
		return "is hidden by the command \"taskgrove " + word + "\""
	}
	return ""
}
