package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/internal/config"
)

// Bounds of signing in by a device code (RFC 8628), whatever the issuer says.
const (
	loginTime   = 15 * time.Minute
	minInterval = 1
	maxInterval = 60 // seconds between two questions
)

// loginCommand signs in at an issuer.
func loginCommand() *cobra.Command {
	var want login
	cmd := &cobra.Command{
		Use: "login", Short: "Sign in at an issuer of OpenID Connect", GroupID: groupClient, Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Shows an address and a code, and waits until somebody has opened the address in a browser and entered the code. The token is kept for commands that\n" +
			"call the same server, in taskgrove/logins.json in the user's configuration directory, which only the user may read, and is renewed when it ends.\n" +
			"Once it has been told the issuer of a server, it knows it.",
		Example: "  taskgrove login --issuer https://id.example.com --client-id taskgrove-cli",
	}
	bind(cmd, config.Variables(&config.Client{}))
	f := cmd.Flags()
	f.StringVar(&want.Issuer, "issuer", "", "URL of the issuer")
	f.StringVar(&want.ClientID, "client-id", "", "as what the issuer knows this program")
	f.StringArrayVar(&want.Scopes, "scope", nil, "what is asked for; may be repeated; default: openid, profile, email, offline_access")
	f.StringVar(&want.Kind, "token", "", "which token coordinators are sent: id or access; default: id")
	f.StringVar(&want.CAFile, "issuer-ca-file", "", "PEM file of authorities that the issuer's certificate is checked by, instead of the machine's")
	mustComplete(cmd, "token", cobra.FixedCompletions([]string{"id", "access"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := clientSettings(flags(cmd, config.Variables(&config.Client{})))
		if err != nil {
			return codedError{err, exitUsage}
		}
		l, err := want.completed(cfg.Server)
		if err != nil {
			return err
		}
		if err := l.signIn(cmd.Context(), func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format, args...) }); err != nil {
			return err
		}
		if err := changeLogins(func(all logins) error { all[cfg.Server] = l; return nil }); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "signed in at %s for %s\n", l.Issuer, cfg.Server)
		return nil
	}
	return cmd
}

// completed is what was asked for, and what is known of the server from before.
func (l login) completed(server string) (login, error) {
	all, err := readLogins()
	if err != nil {
		return l, err
	}
	if known := all[server]; l.Issuer == "" && known.Issuer != "" {
		l.Issuer, l.CAFile = known.Issuer, known.CAFile
		for to, from := range map[*string]string{&l.ClientID: known.ClientID, &l.Kind: known.Kind} {
			if *to == "" {
				*to = from
			}
		}
		if l.Scopes == nil {
			l.Scopes = known.Scopes
		}
	}
	switch {
	case l.Issuer == "" || l.ClientID == "":
		return l, usage("--issuer and --client-id are needed: at which issuer to sign in, and as what it knows this program")
	case l.Kind != "" && l.Kind != "id" && l.Kind != "access":
		return l, usage("--token: takes id or access")
	}
	if err := identity.CheckURL(l.Issuer); err != nil {
		return l, usage("--issuer: %v", err)
	}
	if l.Scopes == nil {
		l.Scopes = []string{"openid", "profile", "email", "offline_access"}
	}
	return l, nil
}

// http asks the issuer.
func (l *login) http() (*http.Client, error) {
	if l.CAFile == "" {
		return identity.HTTPClient(nil), nil
	}
	text, err := os.ReadFile(l.CAFile)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("authorities: %s has no certificate in PEM", l.CAFile)
	}
	return identity.HTTPClient(roots), nil
}

// client is what the issuer knows this program as, and a context that asks it.
func (l *login) client(ctx context.Context) (context.Context, *oauth2.Config, error) {
	by, err := l.http()
	if err != nil {
		return nil, nil, err
	}
	p, err := identity.Discover(ctx, by, l.Issuer)
	if err != nil {
		return nil, nil, err
	}
	return context.WithValue(ctx, oauth2.HTTPClient, by), &oauth2.Config{ClientID: l.ClientID, Scopes: l.Scopes,
		Endpoint: oauth2.Endpoint{TokenURL: p.Token, DeviceAuthURL: p.Device, AuthStyle: oauth2.AuthStyleInParams}}, nil
}

// signIn asks for a code, shows it, and waits until it has been entered.
func (l *login) signIn(ctx context.Context, tell func(string, ...any)) error {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	asking, by, err := l.client(ctx)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if by.Endpoint.DeviceAuthURL == "" {
		return fmt.Errorf("sign in: issuer %s knows no device codes", l.Issuer)
	}
	code, err := by.DeviceAuth(asking)
	if err != nil {
		return fmt.Errorf("sign in: %w", answeredBy(err))
	}
	code.Interval = min(max(code.Interval, minInterval), maxInterval)
	tell("open %s and enter the code %s\n", oneLine(code.VerificationURI), oneLine(code.UserCode))
	if code.VerificationURIComplete != "" {
		tell("or open %s\n", oneLine(code.VerificationURIComplete))
	}
	got, err := by.DeviceAccessToken(asking, code)
	if err != nil {
		return fmt.Errorf("sign in: %w", answeredBy(err))
	}
	return l.take(got)
}

// answeredBy is an error without what the issuer answered besides its code, which may hold what is secret.
func answeredBy(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if refused.ErrorCode == "" {
			return fmt.Errorf("the issuer answers HTTP %d", refused.Response.StatusCode)
		}
		return fmt.Errorf("the issuer answers %s", oneLine(refused.ErrorCode))
	}
	return err
}

// take keeps what the issuer gave.
func (l *login) take(got *oauth2.Token) error {
	l.Token, l.Expires = got.AccessToken, got.Expiry
	if l.Kind != "access" {
		id, _ := got.Extra("id_token").(string)
		if id == "" {
			return errors.New("sign in: the issuer gave no ID token: ask for the scope openid, or use --token access")
		}
		claims := jwt.RegisteredClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(id, &claims); err != nil || claims.ExpiresAt == nil {
			return errors.New("sign in: the issuer's ID token can't be read")
		}
		l.Token, l.Expires = id, claims.ExpiresAt.Time
	}
	if got.RefreshToken != "" { // else the one before counts on
		l.Refresh = got.RefreshToken
	}
	return nil
}

func logoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logout", Short: "Forget the sign-in for a server", GroupID: groupClient, Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Forgets the tokens that login has kept for the server. What others have of them counts until it ends.",
	}
	bind(cmd, config.Variables(&config.Client{}))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := clientSettings(flags(cmd, config.Variables(&config.Client{})))
		if err != nil {
			return codedError{err, exitUsage}
		}
		return changeLogins(func(all logins) error {
			if _, known := all[cfg.Server]; !known {
				return fmt.Errorf("nobody has signed in for %s", cfg.Server)
			}
			delete(all, cfg.Server)
			return nil
		})
	}
	return cmd
}
