package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/api/mcp/stdio"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/node"
)

// mcpCommand is what a host of the Model Context Protocol starts that knows servers only as programs.
func mcpCommand() *cobra.Command {
	var server string
	var key llmKey
	settings := slices.DeleteFunc(config.Variables(&config.Client{}), func(v config.Variable) bool {
		return v.Flag != "token-file" && v.Flag != "plain-token" && v.Flag != "namespace" && !strings.HasPrefix(v.Flag, "tls-")
	})
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
			cfg, err := clientSettings(flags(cmd, settings))
			if err != nil {
				return codedError{err, exitUsage}
			}
			token, err := bearerOf(&cfg, endpoint)
			if err != nil {
				return err
			}
			header := http.Header{}
			if cfg.Namespace != "" {
				header.Set(api.NamespaceHeader, string(cfg.Namespace))
			}
			if given != "" {
				header.Set(modelkey.Header, given)
			}
			encrypted, err := encryptedHTTP(&cfg, endpoint)
			if err != nil {
				return err
			}
			return stdio.Run(cmd.Context(), stdio.Config{HTTP: encrypted, URL: endpoint, Version: node.Version(), In: os.Stdin, Out: os.Stdout, Header: header, Token: token})
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:8000", "URL of a coordinator's HTTP listener")
	key.bind(cmd)
	bind(cmd, settings)
	mustComplete(cmd, "namespace", completeNamespaces)
	return cmd
}

// bearerOf is how the token is had that says who calls, as the settings of clients say. It goes to other machines by TLS only, unless that is allowed.
func bearerOf(cfg *config.Client, endpoint string) (func() (string, error), error) {
	if cfg.Token == "" && cfg.TokenFile == "" {
		return nil, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, usage("--server: %v", err)
	}
	addr, err := netip.ParseAddr(u.Hostname())
	here := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	if u.Scheme != "https" && !here && !bool(cfg.PlainToken) {
		return nil, usage("the token would go to %s without TLS: use https, or allow it by --plain-token", u.Host)
	}
	if cfg.TokenFile == "" {
		return func() (string, error) { return cfg.Token.Reveal(), nil }, nil
	}
	if _, err := os.Stat(cfg.TokenFile); err != nil {
		return nil, codedError{fmt.Errorf("token: %w", err), exitUsage}
	}
	return func() (string, error) {
		text, err := os.ReadFile(cfg.TokenFile)
		if err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}, nil
}

// encryptedHTTP is the client for an endpoint, with what the settings say about TLS.
func encryptedHTTP(cfg *config.Client, endpoint string) (*http.Client, error) {
	if !cfg.Encrypted() || !strings.HasPrefix(endpoint, "https:") { // a context's may be for gRPC only
		return http.DefaultClient, nil
	}
	secured, err := tlsFiles(cfg).Config()
	if err != nil {
		return nil, codedError{err, exitUsage}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = secured
	return &http.Client{Transport: transport}, nil
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
