package node

import (
	"context"
	"net/url"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/credential"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
)

// postgresLogin is what a coordinator logs in to Postgres with, besides what the URL says.
type postgresLogin struct {
	passwordFile    string
	passwordCommand []string
	ca, cert, key   string
}

func postgresLoginOf(s *config.PostgresLogin) postgresLogin {
	return postgresLogin{passwordFile: s.PasswordFile, passwordCommand: s.PasswordCommand, ca: s.PostgresCA, cert: s.PostgresCert, key: s.PostgresKey}
}

// natsLogin is what a coordinator logs in to NATS with, besides what the URL says.
func natsLogin(s *config.NATSLogin) queue.Login {
	return queue.Login{PasswordFile: s.NATSPassword, CredsFile: s.CredsFile, NKeyFile: s.NKeyFile, CAFile: s.NATSCA, CertFile: s.NATSCert, KeyFile: s.NATSKey}
}

// login completes the configuration of a store.
func (l postgresLogin) login(cfg pg.Config) (pg.Config, error) {
	var err error
	if cfg.URL, err = l.withFiles(cfg.URL); err != nil {
		return cfg, err
	}
	switch {
	case l.passwordFile != "":
		file := credential.File{Setting: config.Prefix + "POSTGRES_PASSWORD_FILE", Path: l.passwordFile}
		cfg.Password = func(context.Context) (string, error) { return file.Text() }
	case len(l.passwordCommand) > 0:
		command := &credential.Command{Setting: config.Prefix + "POSTGRES_PASSWORD_COMMAND", Args: l.passwordCommand}
		cfg.Password = command.Run
	}
	return cfg, l.check()
}

// withFiles puts the files of certificates into the URL, where pgx reads them for each connection.
func (l postgresLogin) withFiles(text string) (string, error) {
	if l.ca+l.cert+l.key == "" {
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", &credential.Error{Setting: config.Prefix + "POSTGRES_URL", Reason: err.(*url.Error).Err} // without the URL, which holds a password
	}
	query := u.Query()
	for name, path := range map[string]string{"sslrootcert": l.ca, "sslcert": l.cert, "sslkey": l.key} {
		if path != "" {
			query.Set(name, path)
		}
	}
	if l.ca != "" && !query.Has("sslmode") {
		query.Set("sslmode", "verify-full")
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// check reads the files once: pgx would not name their settings.
func (l postgresLogin) check() error {
	if l.ca != "" {
		if _, err := (credential.File{Setting: config.Prefix + "POSTGRES_TLS_CA_FILE", Path: l.ca}).Pool(); err != nil {
			return err
		}
	}
	pair := credential.Pair{
		Cert: credential.File{Setting: config.Prefix + "POSTGRES_TLS_CERT_FILE", Path: l.cert},
		Key:  credential.File{Setting: config.Prefix + "POSTGRES_TLS_KEY_FILE", Path: l.key},
	}
	if !pair.Given() {
		return nil
	}
	_, err := pair.Read()
	return err
}
