package secrets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// maxVaultAnswer bounds what is read of an answer, in bytes.
const maxVaultAnswer = 2 * maxBytes

// vaultClient has connections to Vault, those of one authority file at a time.
type vaultClient struct {
	mu   sync.Mutex
	ca   string // content of the file
	http *http.Client
}

// ofVault reads a key of a secret, in its latest version. The error is errUnknown if there is none.
func (o *outside) ofVault(ctx context.Context, v *workerfile.Vault, at, key string) (string, error) {
	id := strings.Join([]string{"vault", v.Address, v.Namespace, v.Mount, at, key, v.TokenFile, v.TokenEnv, v.CAFile}, "\x00")
	return o.asking.share(ctx, id, func(ctx context.Context) (string, error) {
		value, err := o.vaultValue(ctx, v, at, key)
		if err != nil && !errors.Is(err, errUnknown) {
			return "", unreadable{fmt.Errorf("vault: %w", err)}
		}
		return value, err
	})
}

func (o *outside) vaultValue(ctx context.Context, v *workerfile.Vault, at, key string) (string, error) {
	token, err := o.vaultToken(v)
	if err != nil {
		return "", err
	}
	client, err := o.vault.client(v)
	if err != nil {
		return "", err
	}
	mount := strings.Trim(v.Mount, "/")
	if mount == "" {
		mount = "secret"
	}
	where := strings.TrimRight(v.Address, "/") + "/v1/" + escaped(mount) + "/data/" + escaped(at)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return "", errors.New("its address can't be used")
	}
	r.Header.Set("X-Vault-Token", token)
	r.Header.Set("X-Vault-Request", "true")
	if v.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", v.Namespace)
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", unwrapped(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	return vaultAnswer(answer, key)
}

// unwrapped is an error of a request without its URL.
func unwrapped(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// escaped is a path with each of its parts as a URL has it.
func escaped(text string) string {
	parts := strings.Split(text, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

// vaultAnswer reads the answer to a read of version 2 of the engine. No error shows anything of its body, which may hold values.
func vaultAnswer(answer *http.Response, key string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxVaultAnswer+1))
	switch {
	case err != nil:
		return "", errors.New("its answer breaks off")
	case len(text) > maxVaultAnswer:
		return "", fmt.Errorf("its answer is larger than %d bytes", maxVaultAnswer)
	}
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound: // also of a version that was deleted
		return "", errUnknown
	case http.StatusForbidden:
		return "", errors.New("it refuses the token, or the token may not read that")
	case http.StatusServiceUnavailable:
		return "", errors.New("it is sealed, or down for maintenance")
	default:
		return "", fmt.Errorf("it answers with status %d", answer.StatusCode)
	}
	var body struct {
		Data struct {
			Data     map[string]json.RawMessage `json:"data"`
			Metadata json.RawMessage            `json:"metadata"`
		} `json:"data"`
	}
	if json.Unmarshal(text, &body) != nil {
		return "", errors.New("its answer is none of version 2 of the key-value engine")
	}
	if len(body.Data.Metadata) == 0 {
		return "", errors.New("its answer has no metadata: is the engine of version 2?")
	}
	raw, ok := body.Data.Data[key]
	if !ok {
		return "", errUnknown
	}
	var value string
	if json.Unmarshal(raw, &value) != nil {
		return "", errors.New("what is at that key is no text")
	}
	return usable(value)
}

// vaultToken is the worker's token, as it is now.
func (o *outside) vaultToken(v *workerfile.Vault) (string, error) {
	token := ""
	if v.TokenFile != "" {
		text, _, err := workerfile.ReadFile(v.TokenFile, 64<<10)
		if err != nil {
			return "", fmt.Errorf("its token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	} else {
		token, _ = o.lookupEnv(v.TokenEnv)
	}
	switch {
	case token == "":
		return "", errors.New("its token is empty")
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return "", errors.New("its token has characters that no token has")
	}
	return token, nil
}

// client has the connections. A changed authority file makes new ones.
func (c *vaultClient) client(v *workerfile.Vault) (*http.Client, error) {
	ca := ""
	if v.CAFile != "" {
		text, _, err := workerfile.ReadFile(v.CAFile, maxBytes)
		if err != nil {
			return nil, fmt.Errorf("its authorities: %w", err)
		}
		ca = string(text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil && c.ca == ca {
		return c.http, nil
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 4, IdleConnTimeout: askWithin, TLSHandshakeTimeout: askWithin, ForceAttemptHTTP2: true}
	if ca != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(ca)) {
			return nil, fmt.Errorf("%s has no certificates", v.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	c.ca, c.http = ca, &http.Client{Transport: transport, CheckRedirect: oneStandby}
	return c.http, nil
}

// oneStandby lets a standby send us to the active server, once, by a connection that is no less safe: the token goes there, too.
func oneStandby(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > 1:
		return errors.New("it redirects more than once")
	case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
		return errors.New("it redirects to a connection without TLS")
	}
	return nil
}
