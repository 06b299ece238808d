package ssh

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/taskgrove/taskgrove/executors"
)

// maxKeyBytes bounds the file of a private key.
const maxKeyBytes = 64 << 10

// login is how a user proves who it is, as it was given: keys are read only when a connection is opened.
type login struct {
	User, Password, Key, Passphrase, Certificate string
	Agent                                        string // socket; empty: none
}

// login gathers a target's credentials. A connection of the operator's may name a key file anywhere; a task only what lies in the
// directory for that.
func (e *Executor) login(call *executors.Call, t *target, prefix string) (login, error) {
	l := login{User: t.Username, Password: t.Password, Key: t.Key, Passphrase: t.Passphrase, Certificate: t.Certificate}
	if t.KeyFile != "" {
		key, mode, err := e.keyFile(t.KeyFile, call.Connection != "")
		if err != nil {
			return l, prefixed(prefix, err)
		}
		if mode.Perm()&0o077 != 0 {
			call.Reporter.Log("log", fmt.Sprintf("the SSH key file %s has the permissions %04o; 0600 is recommended", t.KeyFile, mode.Perm()))
		}
		l.Key = key
	}
	if t.Agent {
		if e.cfg.Agent == "" {
			return l, prefixed(prefix, errors.New("agent: this worker has none for tasks; TASKGROVE_SSH_AGENT names its socket"))
		}
		l.Agent = e.cfg.Agent
	}
	return l, nil
}

func prefixed(prefix string, err error) error {
	if executors.IsPermanent(err) {
		return err
	}
	return invalid("%s%v", prefix, err)
}

// keyFile reads a private key. An error that is not permanent is about the input key_file.
func (e *Executor) keyFile(name string, anywhere bool) (key string, mode os.FileMode, err error) {
	var file *os.File
	switch {
	case anywhere:
		file, err = os.Open(name)
	case e.cfg.KeyDir == "":
		return "", 0, errors.New("key_file: this worker has no key files for tasks; TASKGROVE_SSH_KEY_DIR names their directory. Or give the key itself: {\"key\": {\"secret\": \"name\"}}")
	default:
		file, err = openWithin(e.cfg.KeyDir, name)
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", 0, executors.Permanent(fmt.Errorf("SSH key file not found: %s", name)) // spec 8.4's words
	case errors.Is(err, errOutside):
		return "", 0, fmt.Errorf("key_file: %s lies outside of the directory that TASKGROVE_SSH_KEY_DIR names", name)
	case err != nil:
		return "", 0, fmt.Errorf("key_file: %s can't be opened", name)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxKeyBytes {
		return "", 0, fmt.Errorf("key_file: %s is not a file of at most %d bytes", name, maxKeyBytes)
	}
	text := make([]byte, info.Size())
	n, err := file.ReadAt(text, 0)
	if n < len(text) {
		return "", 0, fmt.Errorf("key_file: %s can't be read: %w", name, err)
	}
	return string(text), info.Mode(), nil
}

var errOutside = errors.New("outside of the directory")

// openWithin opens a file below a directory, by a path relative to it or an absolute one. No link leads out of it.
func openWithin(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if filepath.IsAbs(name) {
		if name, err = filepath.Rel(dir, name); err != nil {
			return nil, errOutside
		}
	}
	if !filepath.IsLocal(name) {
		return nil, errOutside
	}
	file, err := root.Open(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return nil, errOutside // a link that leads out of it has no error of its own
	}
	return file, err
}

// methods are the ways to log in. The caller closes agents when it is logged in.
func (l *login) methods(ctx context.Context, dial dialFunc) (methods []ssh.AuthMethod, done func(), err error) {
	done = func() {}
	var signers []ssh.Signer
	if l.Key != "" {
		if signers, err = l.signers(); err != nil {
			return nil, done, err
		}
	}
	var socket net.Conn
	if l.Agent != "" {
		if socket, err = dial(ctx, "unix", l.Agent); err != nil {
			return nil, done, fmt.Errorf("agent of the worker: %w", err)
		}
		stop := context.AfterFunc(ctx, func() { socket.Close() })
		done = func() { stop(); socket.Close() }
	}
	if l.Key != "" || socket != nil {
		methods = append(methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			if socket == nil {
				return signers, nil
			}
			more, err := agent.NewClient(socket).Signers()
			if err != nil && len(signers) == 0 {
				return nil, errors.New("the worker's agent gives no keys")
			}
			return append(signers, more...), nil
		}))
	}
	if password := l.Password; password != "" {
		methods = append(methods, ssh.Password(password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, echos []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range questions {
					if echos[i] {
						return nil, errors.New("the host asks for more than a password")
					}
					answers[i] = password
				}
				return answers, nil
			}))
	}
	return methods, done, nil
}

// signers are the key, and before it its certificate if there is one. The errors say nothing of the key.
func (l *login) signers() ([]ssh.Signer, error) {
	text := []byte(strings.TrimSpace(strings.ReplaceAll(l.Key, "\r\n", "\n")) + "\n")
	signer, err := ssh.ParsePrivateKey(text)
	if _, encrypted := errors.AsType[*ssh.PassphraseMissingError](err); encrypted {
		if l.Passphrase == "" {
			return nil, invalid("passphrase: the key is encrypted")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(l.Passphrase))
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, invalid("passphrase: does not fit the key")
		}
	}
	if err != nil {
		return nil, invalid("key: is not a private key that can be read (OpenSSH, PKCS #1 or PKCS #8)")
	}
	if l.Certificate == "" {
		return []ssh.Signer{signer}, nil
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l.Certificate))
	certificate, ok := public.(*ssh.Certificate)
	if err != nil || !ok {
		return nil, invalid("certificate: is not an OpenSSH certificate")
	}
	certified, err := ssh.NewCertSigner(certificate, signer)
	if err != nil {
		return nil, invalid("certificate: is of another key")
	}
	return []ssh.Signer{certified, signer}, nil
}
