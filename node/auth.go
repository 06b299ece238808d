package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/api/signin"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/instrument"
)

// authConfig says which tokens are believed; the texts of files are read when the process starts.
type authConfig struct {
	secret, secretFile, oldSecret, oldSecretFile string
	tokens                                       identity.Config // without its keys
	callersFile                                  string
}

// localPages are the origins of pages that may use a coordinator which asks callers who they are, if the operator names no others (spec 5.1).
var localPages = []string{"http://localhost:3000", "http://localhost:3001", "http://127.0.0.1:3000", "http://127.0.0.1:3001"}

// Tokens makes the verifier that coordinators of these settings have for tokens of their own secret; nil: they have none.
func Tokens(cfg *config.Auth) (*identity.Verifier, error) { return authOf(cfg).verifier() }

func authOf(cfg *config.Auth) authConfig {
	return authConfig{
		secret: cfg.Secret.Reveal(), secretFile: cfg.SecretFile, oldSecret: cfg.OldSecret.Reveal(), oldSecretFile: cfg.OldSecretFile,
		tokens:      identity.Config{Algorithm: string(cfg.Algorithm), Issuer: cfg.Issuer, Audience: cfg.Audience, Leeway: cfg.Leeway},
		callersFile: cfg.CallersFile,
	}
}

// askCallers lets the listeners ask callers who they are, if the settings say so. nil: nobody is asked.
func (p *coordinatorParts) askCallers(log *slog.Logger) (*identity.Callers, error) {
	callers, err := p.auth.callers()
	if err != nil {
		return nil, err
	}
	if callers == nil {
		if p.http.AnyOrigin {
			log.Warn("every web page that is opened on a machine which reaches this coordinator may run tasks: nobody is asked who it is", "setting", config.Prefix+"HTTP_ANY_ORIGIN")
		}
		return nil, nil
	}
	callers.Refused = refusals(log)
	p.grpc.Identify, p.http.Identify, p.a2a.Tokens = callers.Identify, callers.Identify, true
	if len(p.http.Origins) == 0 {
		p.http.Origins = localPages
	}
	if own := callers.Own(); own != nil && own.Weak() {
		log.Warn("the secret of tokens is shorter than their signature, which makes it easier to guess", "setting", config.Prefix+"JWT_SECRET")
	}
	return callers, nil
}

// callers knows callers by the settings and their files; nil: nobody is asked.
func (a authConfig) callers() (*identity.Callers, error) {
	own, err := a.verifier()
	if err != nil {
		return nil, err
	}
	if a.callersFile == "" {
		if own == nil {
			return nil, nil
		}
		return identity.NewCallers(own, nil, nil), nil
	}
	file, err := readCallers(a.callersFile)
	if err != nil {
		return nil, fmt.Errorf("%sCALLERS_FILE: %w", config.Prefix, err)
	}
	issuers, err := file.verifiers(a.callersFile)
	if err != nil {
		return nil, fmt.Errorf("%sCALLERS_FILE: %w", config.Prefix, err)
	}
	return identity.NewCallers(own, issuers, file.certified()), nil
}

// letSignIn lets people sign in with a browser, if the file of callers says where.
func (p *coordinatorParts) letSignIn(callers *identity.Callers, sessions signin.Sessions, log *slog.Logger) error {
	if p.auth.callersFile == "" {
		return nil
	}
	file, err := readCallers(p.auth.callersFile)
	if err != nil {
		return fmt.Errorf("%sCALLERS_FILE: %w", config.Prefix, err)
	}
	issuers, err := file.logins(p.auth.callersFile, p.a2a.BaseURL)
	if err != nil {
		return fmt.Errorf("%sCALLERS_FILE: %w", config.Prefix, err)
	}
	if len(issuers) > 0 {
		p.signin = signin.New(signin.Config{Base: p.a2a.BaseURL, Issuers: issuers, SignedIn: callers.SignedIn, Sessions: sessions, Log: log})
		p.http.SessionCookie = p.signin.SessionCookie()
		for _, issuer := range issuers {
			p.issuers = append(p.issuers, issuer.URL)
		}
	}
	return nil
}

// refusals counts them by reason.
func refusals(log *slog.Logger) func(identity.Reason) {
	const name = "taskgrove.logins.refused"
	counter, err := otel.Meter("github.com/taskgrove/taskgrove/node").Int64Counter("taskgrove.logins.refused", metric.WithDescription(instrument.Coordinator.Help(name)))
	if err != nil {
		log.Warn("a metric could not be registered", "error", err)
	}
	return func(why identity.Reason) {
		counter.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", string(why))))
	}
}

// verifier reads the keys, and makes what knows by them who a token is of; nil: there are none.
func (a authConfig) verifier() (*identity.Verifier, error) {
	cfg := a.tokens
	for _, key := range []struct{ name, text, file string }{{"JWT_SECRET", a.secret, a.secretFile}, {"JWT_OLD_SECRET", a.oldSecret, a.oldSecretFile}} {
		text, variable := key.text, config.Prefix+key.name
		if key.file != "" {
			variable += "_FILE"
			var err error
			if text, err = readSecret(key.file); err != nil {
				return nil, fmt.Errorf("%s: %w", variable, err)
			}
		}
		if text == "" {
			continue
		}
		if err := identity.CheckKey(cfg.Algorithm, text); err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		cfg.Keys = append(cfg.Keys, text)
	}
	if len(cfg.Keys) == 0 {
		return nil, nil
	}
	return identity.New(cfg)
}

// maxSecretBytes is how large a file with a secret or a key may be.
const maxSecretBytes = 64 << 10

// readSecret is the text of a file without line breaks at its end.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", fmt.Errorf("%s is a directory", path)
	case info.Size() > maxSecretBytes:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSecretBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", errors.New(path + " is empty")
	}
	return secret, nil
}
