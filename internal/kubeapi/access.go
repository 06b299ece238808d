package kubeapi

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// Account is where a pod finds its service account.
const Account = "/var/run/secrets/kubernetes.io/serviceaccount"

// maxConfigBytes bounds a kubeconfig and the files that it names.
const maxConfigBytes = 1 << 20

// Access says where the API is, and as whom to go there.
type Access struct {
	Server    string // https://host:port
	Namespace string // of the account, or of the context; may be empty
	Authority *x509.CertPool
	Name      string // that the certificate must have; empty: the server's
	Insecure  bool
	Client    *tls.Certificate
	Token     string
	TokenFile string // read for each request: it changes
	User, Key string // HTTP basic
}

// ErrNone: there is neither a kubeconfig nor a service account.
var ErrNone = errors.New("there is no kubeconfig, and this process is not in a pod with a service account")

// Find reads the kubeconfig, or else the service account of the pod that this process runs in, which is in a directory ([Account]).
func Find(kubeconfig, account string) (*Access, error) {
	if kubeconfig != "" {
		return readConfig(kubeconfig)
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, ErrNone
	}
	token := filepath.Join(account, "token")
	if _, err := os.Stat(token); err != nil {
		return nil, fmt.Errorf("%w (no token: is automountServiceAccountToken false?)", ErrNone)
	}
	pool, err := authorities(filepath.Join(account, "ca.crt"), nil)
	if err != nil {
		return nil, err
	}
	namespace, _ := os.ReadFile(filepath.Join(account, "namespace"))
	return &Access{Server: "https://" + net.JoinHostPort(host, port), Namespace: strings.TrimSpace(string(namespace)), Authority: pool, TokenFile: token}, nil
}

// config is the part of a kubeconfig that counts.
type config struct {
	CurrentContext string `yaml:"current-context"`
	Contexts       []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster   string `yaml:"cluster"`
			User      string `yaml:"user"`
			Namespace string `yaml:"namespace"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Clusters []struct {
		Name    string  `yaml:"name"`
		Cluster cluster `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string `yaml:"name"`
		User user   `yaml:"user"`
	} `yaml:"users"`
}

type cluster struct {
	Server        string `yaml:"server"`
	Authority     string `yaml:"certificate-authority"`
	AuthorityData string `yaml:"certificate-authority-data"`
	ServerName    string `yaml:"tls-server-name"`
	Insecure      bool   `yaml:"insecure-skip-tls-verify"`
}

type user struct {
	Certificate     string `yaml:"client-certificate"`
	CertificateData string `yaml:"client-certificate-data"`
	Key             string `yaml:"client-key"`
	KeyData         string `yaml:"client-key-data"`
	Token           string `yaml:"token"`
	TokenFile       string `yaml:"tokenFile"`
	Username        string `yaml:"username"`
	Password        string `yaml:"password"`
	Exec            any    `yaml:"exec"`
	Provider        any    `yaml:"auth-provider"`
}

// readConfig reads a kubeconfig: the current context of it. Errors show no value, which may be secret.
func readConfig(path string) (*Access, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	var c config
	if yaml.Unmarshal(text, &c) != nil {
		return nil, fmt.Errorf("kubeconfig %s: it is not a kubeconfig in YAML", path)
	}
	a, err := c.access(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	return a, nil
}

// access is what the current context stands for; dir is what relative paths begin at.
func (c *config) access(dir string) (*Access, error) {
	a := &Access{}
	var clusterName, userName string
	for _, one := range c.Contexts {
		if one.Name == c.CurrentContext {
			clusterName, userName, a.Namespace = one.Context.Cluster, one.Context.User, one.Context.Namespace
		}
	}
	var at *cluster
	for i, one := range c.Clusters {
		if one.Name == clusterName {
			at = &c.Clusters[i].Cluster
		}
	}
	var as *user
	for i, one := range c.Users {
		if one.Name == userName {
			as = &c.Users[i].User
		}
	}
	switch {
	case clusterName == "" || at == nil || as == nil:
		return nil, errors.New("the current context, its cluster or its user is missing")
	case !strings.HasPrefix(at.Server, "https://") && !strings.HasPrefix(at.Server, "http://"):
		return nil, errors.New("the cluster's server is no http or https URL")
	case as.Exec != nil || as.Provider != nil:
		return nil, errors.New("the user's credentials come from a program (exec, auth-provider), which is not run: give a token, a tokenFile or a client certificate")
	}
	a.Server, a.Name, a.Insecure = strings.TrimSuffix(at.Server, "/"), at.ServerName, at.Insecure
	a.Token, a.User, a.Key = as.Token, as.Username, as.Password
	if as.TokenFile != "" {
		a.TokenFile = beside(dir, as.TokenFile)
	}
	var err error
	if at.Authority != "" || at.AuthorityData != "" {
		if a.Authority, err = authorities(beside(dir, at.Authority), []byte(at.AuthorityData)); err != nil {
			return nil, err
		}
	}
	a.Client, err = as.certificate(dir)
	return a, err
}

// certificate is the client's; nil: it has none.
func (u *user) certificate(dir string) (*tls.Certificate, error) {
	if u.Certificate == "" && u.CertificateData == "" {
		return nil, nil
	}
	cert, err := content(beside(dir, u.Certificate), u.CertificateData)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, err := content(beside(dir, u.Key), u.KeyData)
	if err != nil {
		return nil, fmt.Errorf("client key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, errors.New("client certificate and key don't fit, or are not PEM")
	}
	return &pair, nil
}

// authorities reads certificates of authorities from base64, or else from a file.
func authorities(file string, data []byte) (*x509.CertPool, error) {
	text, err := content(file, string(data))
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("certificate authority: no certificate in PEM")
	}
	return pool, nil
}

// content is what base64 stands for, or else what is in the file.
func content(file, data string) ([]byte, error) {
	if data == "" {
		return readFile(file)
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(data))
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	return text, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfigBytes {
		return nil, fmt.Errorf("%s has over %d bytes", path, maxConfigBytes)
	}
	return os.ReadFile(path)
}

func beside(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
