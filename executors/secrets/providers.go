package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/taskgrove/taskgrove/internal/credential"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// outside asks programs and services for secrets. Those who ask for the same at the same time share one answer; nothing is kept. Safe for concurrent use.
type outside struct {
	lookupEnv func(string) (string, bool)
	vault     vaultClient
	asking    asking
}

// given finds a secret where the worker's file says that it comes from. ok is false if it is none of these sources.
func (o *outside) given(ctx context.Context, file *workerfile.File, name string, entry *workerfile.Secret) (value string, ok bool, err error) {
	switch {
	case entry.Vault != "":
		at, key := workerfile.VaultPath(entry.Vault)
		value, err = o.ofVault(ctx, file.Providers.Vault, at, key)
	case entry.Command != nil:
		value, err = o.ofProgram(ctx, "secrets."+name+".command", entry.Command, name)
	case entry.Age != "":
		value, err = ofAge(file.Providers.Age, entry.Age)
	default:
		return "", false, nil
	}
	if errors.Is(err, errUnknown) { // the operator has named it
		err = unreadable{errors.New("there is none at its source")}
	}
	return value, true, err
}

// chained asks for a secret that nothing else has, in the operator's order. The error is errUnknown if nobody has it; one who can't be asked ends the search, so
// that no later one gets to say what an earlier one has.
func (o *outside) chained(ctx context.Context, file *workerfile.File, name string) (string, error) {
	p := file.Providers
	if p == nil {
		return "", errUnknown
	}
	for _, who := range p.Order {
		value, err := "", errUnknown
		switch who {
		case workerfile.FromVault:
			at := path.Join(strings.Trim(p.Vault.Prefix, "/"), name)
			if taken(file, at) {
				return "", errTaken
			}
			value, err = o.ofVault(ctx, p.Vault, at, "value")
		case workerfile.FromExec:
			value, err = o.ofProgram(ctx, "providers.exec.command", p.Exec.Command, name)
		}
		if !errors.Is(err, errUnknown) {
			return value, err
		}
	}
	return "", errUnknown
}

// taken reports whether a secret of Vault belongs to one that the file names: another name for it must not get round that one's pools.
func taken(file *workerfile.File, at string) bool {
	for _, entry := range file.Secrets {
		if own, _ := workerfile.VaultPath(entry.Vault); entry.Vault != "" && own == at {
			return true
		}
	}
	return false
}

// ofProgram asks a program, which gets the name on its stdin.
func (o *outside) ofProgram(ctx context.Context, setting string, command []string, name string) (string, error) {
	return o.asking.share(ctx, strings.Join(slices.Concat([]string{"exec", setting, name}, command), "\x00"), func(ctx context.Context) (string, error) {
		text, err := (&credential.Command{Setting: setting, Args: command, Stdin: name + "\n"}).Run(ctx)
		switch {
		case errors.Is(err, credential.ErrNothing):
			return "", errUnknown
		case err != nil:
			return "", unreadable{err}
		}
		return usable(text)
	})
}

// undecryptable is an error of decryption without its text, which may show what was read.
func undecryptable(err error) error {
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return unreadable{errors.New("age: none of the identities fits")}
	}
	return unreadable{errors.New("age: it can't be decrypted: it is damaged, or nothing that age has made")}
}

// identitiesOf are the keys in a file.
func identitiesOf(path string) ([]age.Identity, error) {
	keys, _, err := workerfile.ReadFile(path, maxBytes)
	if err != nil {
		return nil, unreadable{fmt.Errorf("age: %w", err)}
	}
	identities, err := age.ParseIdentities(bytes.NewReader(keys))
	if err != nil {
		return nil, unreadable{fmt.Errorf("age: %s has no identities that can be used", path)} // the error might show them
	}
	return identities, nil
}

// ofAge decrypts a text, or a file, with the worker's identities.
func ofAge(a *workerfile.Age, source string) (string, error) {
	identities, err := identitiesOf(a.Identities)
	if err != nil {
		return "", err
	}
	text := []byte(source)
	if !strings.HasPrefix(strings.TrimSpace(source), workerfile.ArmorHeader) {
		if text, _, err = workerfile.ReadFile(source, 2*maxBytes); err != nil {
			return "", unreadable{fmt.Errorf("age: %w", err)}
		}
	}
	return decrypted(identities, text)
}

// decoded decrypts a text that a task has given: armoured, or binary in base64. It is never the name of a file. later: it may go well another time.
func decoded(a *workerfile.Age, text string) (value string, later bool, err error) {
	identities, err := identitiesOf(a.Decode)
	if err != nil {
		return "", true, err
	}
	encrypted := []byte(text)
	if !strings.HasPrefix(strings.TrimSpace(text), workerfile.ArmorHeader) {
		if encrypted, err = base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err != nil {
			return "", false, errors.New("age: it is neither armoured nor in base64")
		}
	}
	value, err = decrypted(identities, encrypted)
	return value, false, err
}

func decrypted(identities []age.Identity, text []byte) (string, error) {
	var encrypted io.Reader = bytes.NewReader(text)
	if trimmed := bytes.TrimSpace(text); bytes.HasPrefix(trimmed, []byte(workerfile.ArmorHeader)) {
		encrypted = armor.NewReader(bytes.NewReader(trimmed))
	}
	plain, err := age.Decrypt(encrypted, identities...)
	if err != nil {
		return "", undecryptable(err)
	}
	value, err := io.ReadAll(io.LimitReader(plain, maxBytes+2))
	if err != nil {
		return "", undecryptable(err)
	}
	return usable(trimmed(value))
}
