package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/oauth2"
)

// login is a sign-in at an issuer, for commands that call one server.
type login struct {
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"`
	Scopes   []string  `json:"scopes"`
	Kind     string    `json:"token_kind,omitempty"` // access; else the ID token
	CAFile   string    `json:"ca_file,omitempty"`
	Token    string    `json:"token"`
	Refresh  string    `json:"refresh_token,omitempty"` // empty: it can't be renewed
	Expires  time.Time `json:"expires"`
}

// logins are those of a user, by server: the token of one goes to no other.
type logins map[string]login

// renewBefore is how long before its end a token is renewed.
const renewBefore = 30 * time.Second

func loginsFile() (string, error) {
	path, err := contextsFile()
	return filepath.Join(filepath.Dir(path), "logins.json"), err
}

// readLogins reads the file; no file is no logins.
func readLogins() (logins, error) {
	path, err := loginsFile()
	if err != nil {
		return nil, err
	}
	all := logins{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("logins: %s: %w", path, err)
	}
	return all, nil
}

// changeLogins changes the file, as a whole or not at all. No other command changes it meanwhile.
func changeLogins(change func(logins) error) error {
	path, err := loginsFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("logins: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("logins: %w", err)
	}
	defer lock.Close() //nolint:errcheck // nothing is written to it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("logins: lock %s: %w", lock.Name(), err)
	}
	all, err := readLogins()
	if err != nil {
		return err
	}
	if err := change(all); err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = writeWhole(path, append(text, '\n')) // of a new file only its owner may read
	}
	if err != nil {
		return fmt.Errorf("logins: %w", err)
	}
	return nil
}

// loginOf gives the token of the sign-in for a server, renewed if it has ended; nil: nobody has signed in.
func loginOf(server string) func() (string, error) {
	all, err := readLogins()
	if err != nil {
		return func() (string, error) { return "", err }
	}
	l, known := all[server]
	if !known {
		return nil
	}
	var mu sync.Mutex
	return func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Until(l.Expires) > renewBefore {
			return l.Token, nil
		}
		err := changeLogins(func(all logins) error {
			l = all[server] // another command may have renewed it
			if time.Until(l.Expires) > renewBefore {
				return nil
			}
			if err := l.renew(); err != nil {
				return err
			}
			all[server] = l
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("%w; \"taskgrove login\" signs in again", err)
		}
		return l.Token, nil
	}
}

// renew gets a new token.
func (l *login) renew() error {
	if l.Refresh == "" {
		return errors.New("the sign-in has ended")
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewBefore)
	defer cancel()
	asking, by, err := l.client(ctx)
	if err != nil {
		return fmt.Errorf("the sign-in could not be renewed: %w", err)
	}
	got, err := by.TokenSource(asking, &oauth2.Token{RefreshToken: l.Refresh}).Token()
	if err != nil {
		return fmt.Errorf("the sign-in could not be renewed: %w", answeredBy(err))
	}
	return l.take(got)
}
