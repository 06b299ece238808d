package main

import (
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/api/mcp/stdio"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/node"
)

// mcpCommand is what a host of the Model Context Protocol starts that knows servers only as programs.
func mcpCommand() *cobra.Command {
	var server string
	var key llmKey
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Give an MCP host the tools of a cluster, over stdin and stdout",
		Long: "Speaks the Model Context Protocol over stdin and stdout, for hosts that start their servers as programs, and hands each request on to a\n" +
			"coordinator's /mcp. It ends with its input. Hosts that speak streamable HTTP need no program: they use http://HOST:8000/mcp themselves.",
		Args: cobra.NoArgs, GroupID: groupClient, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoint, err := endpoint(server)
			if err != nil {
				return err
			}
			given, err := key.read()
			if err != nil {
				return codedError{err, exitUsage}
			}
			header := http.Header{}
			if given != "" {
				header.Set(modelkey.Header, given)
			}
			return stdio.Run(cmd.Context(), stdio.Config{URL: endpoint, Version: node.Version(), In: os.Stdin, Out: os.Stdout, Header: header})
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:8000", "URL of a coordinator's HTTP listener")
	key.bind(cmd)
	return cmd
}

// endpoint is where the coordinator of that URL serves MCP.
func endpoint(server string) (string, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", usage("--server must be the URL of a coordinator, such as http://127.0.0.1:8000")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = mcp.Path
	}
	return u.String(), nil
}
