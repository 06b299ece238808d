package secrets

import (
	"bytes"
	"context"
	"encoding/json"
	encpem "encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/taskgrove/taskgrove/executors"
)

const vaultToken = "canary-token"

// vault answers as a server with an engine of version 2 does, in the very form of OpenBao 2.7.2.
type vault struct {
	asked atomic.Int64
	hold  chan struct{} // answers wait until it is closed; nil: they don't
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.asked.Add(1)
	if v.hold != nil {
		<-v.hold
	}
	say := func(status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text+"\n")
	}
	data := func(values string) string {
		return `{"request_id":"474beec1-6548-e752-3e2a-fac6354b4394","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":` + values +
			`,"metadata":{"created_time":"2026-11-30T14:40:18.950276859Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}},"wrap_info":null,"warnings":null,"auth":null}`
	}
	if r.Header.Get("X-Vault-Token") != vaultToken || r.Header.Get("X-Vault-Request") != "true" || r.Method != http.MethodGet {
		say(http.StatusForbidden, `{"errors":["permission denied"]}`)
		return
	}
	switch r.URL.EscapedPath() + r.Header.Get("X-Vault-Namespace") {
	case "/v1/secret/data/etl/db":
		say(http.StatusOK, data(`{"n":5,"password":"hunter-canary","value":"the value","empty":"","none":null,"deep":{"a":"canary"}}`))
	case "/v1/kv/team/data/a%20b":
		say(http.StatusOK, data(`{"value":"of another mount"}`))
	case "/v1/secret/data/etl/dbteam-a":
		say(http.StatusOK, data(`{"value":"of a namespace"}`))
	case "/v1/secret/data/chain/lonely":
		say(http.StatusOK, data(`{"value":"of the chain"}`))
	case "/v1/secret/data/deleted":
		say(http.StatusNotFound, data(`null`))
	case "/v1/secret/data/old":
		say(http.StatusOK, `{"request_id":"1","data":{"value":"canary"},"auth":null}`)
	case "/v1/secret/data/sealed":
		say(http.StatusServiceUnavailable, `{"errors":["Vault is sealed"]}`)
	case "/v1/secret/data/odd":
		say(http.StatusOK, `{"data":"canary`)
	case "/v1/secret/data/teapot":
		say(http.StatusTeapot, `{"errors":["canary"]}`)
	case "/v1/secret/data/large":
		say(http.StatusOK, data(`{"value":"`+strings.Repeat("canary", maxBytes)+`"}`))
	case "/v1/secret/data/standby":
		http.Redirect(w, r, "/v1/secret/data/etl/db", http.StatusTemporaryRedirect)
	case "/v1/secret/data/round":
		http.Redirect(w, r, "/v1/secret/data/round", http.StatusTemporaryRedirect)
	default:
		say(http.StatusNotFound, `{"errors":[]}`)
	}
}

// fault demands an error that operators can use, and that shows no value.
func fault(t *testing.T, name, got string, err error, want string) {
	t.Helper()
	if err == nil || got != "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
		t.Errorf("%s: got %q, %v, want %s", name, got, err, want)
	}
}

func TestVault(t *testing.T) {
	server := httptest.NewServer(&vault{})
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	put(t, token, vaultToken+"\n")
	with := func(provider, secrets string) *Store {
		return newStore(t, "providers: {vault: {"+provider+"}}\nsecrets: {"+secrets+"}", environment{"BAD": "hvs.bad", "SPLIT": "a\nb", "TOKEN": vaultToken}, nil)
	}
	s := with("address: '"+server.URL+"/', token_file: "+token, "a: {vault: etl/db#password}, b: {vault: /etl/db}, c: {vault: standby#password}, none: {vault: nowhere}, nokey: {vault: etl/db#nokey}, "+
		"deleted: {vault: deleted}, old: {vault: old}, sealed: {vault: sealed}, odd: {vault: odd}, teapot: {vault: teapot}, large: {vault: large}, round: {vault: round}, number: {vault: etl/db#n}, deep: {vault: etl/db#deep}, "+
		"empty: {vault: etl/db#empty}, null: {vault: etl/db#none}, limited: {vault: etl/db#password, pools: [etl]}")
	for name, want := range map[string]string{"a": "hunter-canary", "b": "the value", "c": "hunter-canary"} {
		if got, err := s.secret(t.Context(), name, "p"); err != nil || got != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{
		"none": "there is none at its source", "nokey": "there is none at its source", "deleted": "there is none at its source", "old": "is the engine of version 2?", "sealed": "it is sealed",
		"odd": "its answer is none of version 2", "teapot": "status 418", "large": "its answer is larger than", "round": "it redirects more than once", "number": "is no text", "deep": "is no text",
		"empty": "it is empty", "null": "it is empty", "limited": errPool.Error(),
	} {
		got, err := s.secret(t.Context(), name, "p")
		fault(t, name, got, err, want)
		if errors.Is(err, errUnknown) {
			t.Errorf("%s: a name that the operator gave passes for unknown", name)
		}
	}
	for want, s := range map[string]*Store{
		"=of another mount":            with("address: '"+server.URL+"', mount: kv/team, token_env: TOKEN", "a: {vault: a b}"),
		"=of a namespace":              with("address: '"+server.URL+"', namespace: team-a, token_env: TOKEN", "a: {vault: etl/db}"),
		"it refuses the token":         with("address: '"+server.URL+"', token_env: BAD", "a: {vault: etl/db}"),
		"its token is empty":           with("address: '"+server.URL+"', token_env: NOT_SET", "a: {vault: etl/db}"),
		"characters that no token has": with("address: '"+server.URL+"', token_env: SPLIT", "a: {vault: etl/db}"),
		"no such file":                 with("address: '"+server.URL+"', token_file: /nowhere", "a: {vault: etl/db}"),
		"connection refused":           with("address: 'http://127.0.0.1:1', token_env: TOKEN", "a: {vault: etl/db}"),
		"its authorities":              with("address: '"+server.URL+"', token_env: TOKEN, ca_file: /nowhere", "a: {vault: etl/db}"),
	} {
		got, err := s.secret(t.Context(), "a", "p")
		if value, is := strings.CutPrefix(want, "="); is {
			if got != value || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, value)
			}
			continue
		}
		fault(t, want, got, err, want)
	}
	put(t, token, "hvs.renewed") // the file is read each time
	got, err := s.secret(t.Context(), "a", "p")
	fault(t, "a new token", got, err, "it refuses the token")
}

func TestVaultByTLS(t *testing.T) {
	server := httptest.NewTLSServer(&vault{})
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	put(t, ca, string(encpem.EncodeToMemory(&encpem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	file := "providers: {vault: {address: '" + server.URL + "', token_env: TOKEN%s}}\nsecrets: {a: {vault: etl/db#password}}"
	s := newStore(t, fmt.Sprintf(file, ", ca_file: "+ca), environment{"TOKEN": vaultToken}, nil)
	if got, err := s.secret(t.Context(), "a", "p"); err != nil || got != "hunter-canary" {
		t.Errorf("got %q, %v", got, err)
	}
	got, err := newStore(t, fmt.Sprintf(file, ""), environment{"TOKEN": vaultToken}, nil).secret(t.Context(), "a", "p")
	fault(t, "an unknown authority", got, err, "certificate")
	put(t, ca, "no PEM")
	got, err = s.secret(t.Context(), "a", "p")
	fault(t, "a broken file", got, err, "has no certificates")

	plain := httptest.NewServer(&vault{})
	defer plain.Close()
	away := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/v1/secret/data/etl/db", http.StatusTemporaryRedirect))
	defer away.Close()
	put(t, ca, string(encpem.EncodeToMemory(&encpem.Block{Type: "CERTIFICATE", Bytes: away.Certificate().Raw})))
	s = newStore(t, "providers: {vault: {address: '"+away.URL+"', token_env: TOKEN, ca_file: "+ca+"}}\nsecrets: {a: {vault: etl/db}}", environment{"TOKEN": vaultToken}, nil)
	got, err = s.secret(t.Context(), "a", "p")
	fault(t, "a redirect away from TLS", got, err, "a connection without TLS")
}

// Those who ask at the same time share one question; who gives up does not take the answer from others; nothing is kept.
func TestAskingIsShared(t *testing.T) {
	v := &vault{hold: make(chan struct{})}
	server := httptest.NewServer(v)
	defer server.Close()
	s := newStore(t, "providers: {vault: {address: '"+server.URL+"', token_env: TOKEN}}\nsecrets: {a: {vault: etl/db#password}}", environment{"TOKEN": vaultToken}, nil)
	impatient, cancel := context.WithCancelCause(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := s.secret(impatient, "a", "p"); err == nil || !strings.Contains(err.Error(), "no patience") {
			t.Errorf("who gives up: %v", err)
		}
	})
	for v.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 20 {
		all.Go(func() {
			if got, err := s.secret(t.Context(), "a", "p"); got != "hunter-canary" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	cancel(errors.New("no patience"))
	time.Sleep(20 * time.Millisecond) // most have asked by then; those that have not cost a question more
	close(v.hold)
	all.Wait()
	if n := v.asked.Load(); n > 21 {
		t.Errorf("%d questions", n)
	}
	before := v.asked.Load()
	if _, err := s.secret(t.Context(), "a", "p"); err != nil || v.asked.Load() != before+1 {
		t.Errorf("a later one: %v, %d questions", err, v.asked.Load()-before)
	}
}

func TestPrograms(t *testing.T) {
	t.Setenv("TASKGROVE_HIDDEN", "hidden")
	sh := func(script string) string {
		text, _ := json.Marshal([]string{"sh", "-c", script})
		return string(text)
	}
	s := newStore(t, `providers: {exec: {command: `+sh(`read name; case $name in gone) ;; bad) echo canary; exit 3;; *) echo "$name:$TASKGROVE_HIDDEN";; esac`)+`}, order: [exec]}
secrets: {own: {command: `+sh(`read n; printf '%s\n\n' "$n-own-$0"`)+`}, nothing: {command: ["true"]}, limited: {pools: [etl]}, missing: {command: [/no/such/program]}, binary: {command: `+sh(`printf '\377'`)+`},
  much: {command: `+sh(`yes canary | head -c 100000`)+`}, fails: {command: `+sh(`echo canary; echo canary >&2; exit 4`)+`}}`, environment{"TASKGROVE_SECRET_KNOWN": "of the environment"}, nil)
	for name, want := range map[string]string{"own": "own-own-sh", "some-name.1": "some-name.1:", "known": "of the environment"} {
		if got, err := s.secret(t.Context(), name, "p"); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"nothing": "there is none at its source", "gone": errUnknown.Error(), "bad": "exit status 3", "missing": "no such file", "binary": "not text in UTF-8", "much": "it prints more than 65536 bytes", "fails": "exit status 4",
		"limited": errPool.Error(), "a b": errUnknown.Error(), "$(id)": errUnknown.Error(), "../x": errUnknown.Error(), "a\nb": errUnknown.Error(),
	} {
		got, err := s.secret(t.Context(), name, "p")
		fault(t, name, got, err, want)
	}
	if got, err := s.secret(t.Context(), "limited", "etl"); err != nil || got != "limited:" {
		t.Errorf("of its own pool: %q, %v", got, err)
	}
}

// The order of the chain counts; who can't be asked ends it, and another name does not get round the pools of one that the file names.
func TestChain(t *testing.T) {
	server := httptest.NewServer(&vault{})
	defer server.Close()
	file := func(order, address string) string {
		return `{"providers": {"vault": {"address": "` + address + `", "token_env": "TOKEN", "prefix": "chain/"}, "exec": {"command": ["sh", "-c", "echo of the program"]}, "order": [` + order + `]},
			"secrets": {"mine": {"vault": "chain/theirs", "pools": ["etl"]}, "lonely2": {"vault": "chain/lonely"}}}`
	}
	env := environment{"TOKEN": vaultToken}
	both := newStore(t, file(`"vault", "exec"`, server.URL), env, map[string]string{"here": "of the directory"})
	for name, want := range map[string]string{"here": "of the directory", "unheard": "of the program", "lonely2": "of the chain"} {
		if got, err := both.secret(t.Context(), name, "p"); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{"theirs": errTaken, "lonely": errTaken, "mine": errPool} {
		if got, err := both.secret(t.Context(), name, "p"); !errors.Is(err, want) || got != "" {
			t.Errorf("%s: got %q, %v, want %v", name, got, err, want)
		}
	}
	got, err := newStore(t, file(`"vault", "exec"`, "http://127.0.0.1:1"), env, nil).secret(t.Context(), "unheard", "p")
	fault(t, "a vault that is down", got, err, "connection refused")
	if _, ok := errors.AsType[unreadable](err); !ok {
		t.Errorf("it passes for unknown: %v", err)
	}
	if got, err := newStore(t, file(`"exec", "vault"`, "http://127.0.0.1:1"), env, nil).secret(t.Context(), "unheard", "p"); err != nil || got != "of the program" {
		t.Errorf("the other order: %q, %v", got, err)
	}
	if got, err := newStore(t, file(``, server.URL), env, nil).secret(t.Context(), "unheard", "p"); !errors.Is(err, errUnknown) {
		t.Errorf("no order: %q, %v", got, err)
	}
	// What can't be read now may be later; what is not there never is.
	_, err = newStore(t, file(`"vault"`, "http://127.0.0.1:1"), env, nil).For(asks).Resolve(t.Context(), "p", json.RawMessage(`{"token":{"secret":"x"}}`), []string{"token"})
	if err == nil || executors.IsPermanent(err) || strings.Contains(err.Error(), "127.0.0.1") || !strings.Contains(err.Error(), "can't be read at this worker now") {
		t.Errorf("a task is told %v", err)
	}
}

// encrypted is a text as age has it.
func encrypted(t *testing.T, text string, armoured bool, to ...age.Recipient) string {
	t.Helper()
	var out bytes.Buffer
	var w io.Writer = &out
	var open []io.Closer
	if armoured {
		a := armor.NewWriter(&out)
		w, open = a, append(open, a)
	}
	e, err := age.Encrypt(w, to...)
	if err == nil {
		_, err = io.WriteString(e, text)
	}
	if err = errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range open {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestAge(t *testing.T) {
	ours, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	others, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := func(name, text string) string {
		put(t, filepath.Join(dir, name), text)
		return filepath.Join(dir, name)
	}
	keys := at("keys", "# created: now\n"+ours.String()+"\n")
	tampered := []byte(encrypted(t, "canary", false, ours.Recipient()))
	tampered[len(tampered)-1] ^= 1
	entries := map[string]any{
		"inline": encrypted(t, "of the text\n", true, others.Recipient(), ours.Recipient()), "armoured": at("a.age", encrypted(t, "of a file", true, ours.Recipient())), "binary": at("b.age", encrypted(t, "of a binary file\n", false, ours.Recipient())),
		"others": encrypted(t, "canary", true, others.Recipient()), "plain": at("plain", "canary"), "gone": "/nowhere.age", "tampered": at("t.age", string(tampered)), "cut": at("c.age", string(tampered[:len(tampered)-30])),
		"large": at("l.age", encrypted(t, strings.Repeat("canary", maxBytes/5), false, ours.Recipient())), "empty": encrypted(t, "", true, ours.Recipient()), "latin": encrypted(t, "\xff", true, ours.Recipient()),
	}
	secrets := map[string]any{}
	for name, source := range entries {
		secrets[name] = map[string]any{"age": source}
	}
	file, _ := json.Marshal(map[string]any{"providers": map[string]any{"age": map[string]any{"identities": keys}}, "secrets": secrets})
	s := newStore(t, string(file), nil, nil)
	for name, want := range map[string]string{"inline": "of the text", "armoured": "of a file", "binary": "of a binary file"} {
		if got, err := s.secret(t.Context(), name, "p"); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"others": "none of the identities fits", "plain": "can't be decrypted", "gone": "no such file", "tampered": "can't be decrypted", "cut": "can't be decrypted", "large": "larger than", "empty": "it is empty", "latin": "not text in UTF-8",
	} {
		got, err := s.secret(t.Context(), name, "p")
		fault(t, name, got, err, want)
	}
	put(t, keys, "AGE-SECRET-KEY-1canary")
	got, err := s.secret(t.Context(), "inline", "p")
	fault(t, "a broken key", got, err, "has no identities that can be used")
	put(t, keys, others.String())
	if got, err := s.secret(t.Context(), "inline", "p"); err != nil || got != "of the text" {
		t.Errorf("keys are read again: %q, %v", got, err)
	}
}

// The real server, where it is installed (OpenBao's bao, or vault).
func TestRealVault(t *testing.T) {
	program := ""
	for _, name := range []string{"bao", "vault"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
		}
	}
	if program == "" {
		t.Skip("neither bao nor vault is installed")
	}
	listener := httptest.NewServer(nil) // a free port
	address := listener.URL
	listener.Close()
	cmd := exec.CommandContext(t.Context(), program, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+vaultToken, "-dev-listen-address="+strings.TrimPrefix(address, "http://"))
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	ask := func(method, path, body string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Vault-Token", vaultToken)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	for end := time.Now().Add(time.Minute); ask("POST", "/v1/secret/data/etl/db", `{"data":{"password":"hunter-canary","n":5}}`) != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not start")
		}
	}
	s := newStore(t, "providers: {vault: {address: '"+address+"', token_env: TOKEN}}\nsecrets: {a: {vault: etl/db#password}, number: {vault: etl/db#n}, none: {vault: nowhere}}", environment{"TOKEN": vaultToken}, nil)
	if got, err := s.secret(t.Context(), "a", "p"); err != nil || got != "hunter-canary" {
		t.Errorf("got %q, %v", got, err)
	}
	got, err := s.secret(t.Context(), "number", "p")
	fault(t, "number", got, err, "is no text")
	got, err = s.secret(t.Context(), "none", "p")
	fault(t, "none", got, err, "there is none at its source")
	if status := ask("DELETE", "/v1/secret/data/etl/db", ""); status != http.StatusNoContent {
		t.Fatalf("deleting: %d", status)
	}
	got, err = s.secret(t.Context(), "a", "p")
	fault(t, "deleted", got, err, "there is none at its source")
	got, err = newStore(t, "providers: {vault: {address: '"+address+"', token_env: TOKEN}}\nsecrets: {a: {vault: etl/db#password}}", environment{"TOKEN": "hvs.bad"}, nil).secret(t.Context(), "a", "p")
	fault(t, "a bad token", got, err, "it refuses the token")
}
