package queue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/taskgrove/taskgrove/internal/credential/certtest"
	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/queue"
)

// served is an external server that is started again with other configurations, at the same port.
type served struct {
	t    *testing.T
	port int
	dir  string
	nats *server.Server
}

func newServed(t *testing.T) *served {
	t.Helper()
	s := &served{t: t, port: porttest.Port(t), dir: t.TempDir()}
	t.Cleanup(s.stop)
	return s
}

func (s *served) stop() {
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
}

// start begins anew with a configuration, which needs no address and no store.
func (s *served) start(text string) {
	s.t.Helper()
	s.stop()
	file := filepath.Join(s.dir, "nats.conf")
	must(s.t, os.WriteFile(file, fmt.Appendf(nil, "host: 127.0.0.1\nport: %d\n%s", s.port, strings.ReplaceAll(text, "STORE", s.dir)), 0o600))
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		s.t.Fatalf("%v in:\n%s", err, text)
	}
	options.NoLog, options.NoSigs = true, true
	s.nats, err = server.NewServer(options)
	must(s.t, err)
	s.nats.Start()
	if !s.nats.ReadyForConnections(patience) {
		s.t.Fatal("server is not ready")
	}
}

func (s *served) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

const jetStream = "jetstream { store_dir: \"STORE\" }\n"

// exchange lets work go from a coordinator to worker a.
func exchange(t *testing.T, c, a *queue.Conn) {
	t.Helper()
	ctx := (&house{t: t}).context()
	eventually(t, "streams", func() bool { return c.EnsureStreams(ctx) == nil })
	eventually(t, "a published task", func() bool {
		return c.PublishWork(ctx, []queue.WorkMessage{{Pool: "rest", Priority: 1, Data: []byte("x")}}) == nil
	})
	take(t, a.Taker("rest"), 1)
}

// user makes the key of a user, and writes its seed.
func user(t *testing.T, seedFile string) (public string, key nkeys.KeyPair) {
	t.Helper()
	key, err := nkeys.CreateUser()
	must(t, err)
	public, err = key.PublicKey()
	must(t, err)
	seed, err := key.Seed()
	must(t, err)
	must(t, os.WriteFile(seedFile, seed, 0o600))
	return public, key
}

// TestNKeysChangeWhileWeRun: a connection signs with what the file holds when it connects again, and says whose key that is.
func TestNKeysChangeWhileWeRun(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	files := map[string]string{"c": filepath.Join(s.dir, "c.nk"), "a": filepath.Join(s.dir, "a.nk")}
	begin := func() {
		ofC, _ := user(t, files["c"])
		ofA, _ := user(t, files["a"])
		s.start(jetStream + queue.ServerConfig("", []queue.ServerUser{{Name: "c", NKey: ofC}, {Name: "a", NKey: ofA, Pools: []string{"rest"}}}))
	}
	begin()
	h := &house{t: t}
	c := h.connect(queue.Config{URL: s.url(), Login: queue.Login{NKeyFile: files["c"]}})
	a := h.connect(queue.Config{URL: s.url(), Worker: "a", Login: queue.Login{NKeyFile: files["a"]}})
	exchange(t, c, a)
	begin()
	exchange(t, c, a)
	user(t, files["c"]) // which the server does not know
	_, err := queue.Connect(h.context(), queue.Config{URL: s.url(), Login: queue.Login{NKeyFile: files["c"]}, Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), "the key of TASKGROVE_NATS_NKEY_FILE is refused") {
		t.Errorf("got %v", err)
	}
}

// TestNATSPasswordsChangeWhileWeRun: a connection shows what the file holds when it connects again, as the user that the URL names.
func TestNATSPasswordsChangeWhileWeRun(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	files := map[string]string{"c": filepath.Join(s.dir, "c.password"), "a": filepath.Join(s.dir, "a.password")}
	begin := func(password string) {
		for name, file := range files {
			must(t, os.WriteFile(file, []byte(name+password+"\n"), 0o600))
		}
		s.start(jetStream + queue.ServerConfig("", []queue.ServerUser{{Name: "c", Password: "c" + password}, {Name: "a", Password: "a" + password, Pools: []string{"rest"}}}))
	}
	begin("1")
	as := func(user string) string { // also where the URL holds a password: the file's counts
		return strings.Replace(s.url()+","+s.url(), "nats://", "nats://"+user+":wrong@", 1)
	}
	h := &house{t: t}
	c := h.connect(queue.Config{URL: as("c"), Login: queue.Login{PasswordFile: files["c"]}})
	a := h.connect(queue.Config{URL: as("a"), Worker: "a", Login: queue.Login{PasswordFile: files["a"]}})
	exchange(t, c, a)
	begin("2")
	exchange(t, c, a)
	must(t, os.WriteFile(files["c"], []byte("another"), 0o600))
	_, err := queue.Connect(h.context(), queue.Config{URL: as("c"), Login: queue.Login{PasswordFile: files["c"]}, Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), `user "c" or its password is refused`) {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(files["c"]))
	_, err = queue.Connect(h.context(), queue.Config{URL: as("c"), Login: queue.Login{PasswordFile: files["c"]}, Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), "TASKGROVE_NATS_PASSWORD_FILE") {
		t.Errorf("without the file: got %v", err)
	}
}

// TestNATSCertificatesChangeWhileWeRun: the server finds the user by a DNS name of the certificate, and both sides' authorities change.
func TestNATSCertificatesChangeWhileWeRun(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	path := func(name string) string { return filepath.Join(s.dir, name) }
	begin := func() {
		ca := certtest.New(t, "house")
		for _, name := range []string{"server", "c", "a"} {
			ca.Issue(t, path(name+".pem"), path(name+".key"), certtest.Subject{Name: name})
		}
		text, err := os.ReadFile(ca.File)
		must(t, err)
		must(t, os.WriteFile(path("ca.pem"), text, 0o600))
		s.start(jetStream + fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }\n", path("server.pem"), path("server.key"), path("ca.pem")) +
			queue.ServerConfig("", []queue.ServerUser{{Name: "c"}, {Name: "a", Pools: []string{"rest"}}}))
	}
	begin()
	h := &house{t: t}
	login := func(name string) queue.Login {
		return queue.Login{CAFile: path("ca.pem"), CertFile: path(name + ".pem"), KeyFile: path(name + ".key")}
	}
	c := h.connect(queue.Config{URL: s.url(), Login: login("c")})
	a := h.connect(queue.Config{URL: s.url(), Worker: "a", Login: login("a")})
	exchange(t, c, a)
	begin()
	exchange(t, c, a)
}

// TestTLSIsAMust where authorities are given: a server without it is not spoken to.
func TestTLSIsAMust(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	s.start(jetStream)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := queue.Connect(ctx, queue.Config{URL: s.url(), Login: queue.Login{CAFile: certtest.New(t, "house").File}, Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), "secure connection not available") {
		t.Errorf("got %v", err)
	}
}

// operator is a server's, with the accounts that [queue.ServerAccounts] names as JWTs: exports are private, and each import has a token of the
// account that it comes from.
type operator struct {
	t    *testing.T
	key  nkeys.KeyPair
	keys map[string]nkeys.KeyPair // of accounts, by name
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	key, err := nkeys.CreateOperator()
	must(t, err)
	return &operator{t: t, key: key, keys: map[string]nkeys.KeyPair{}}
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	name, err := key.PublicKey()
	must(t, err)
	return name
}

func (o *operator) account(name string) nkeys.KeyPair {
	o.t.Helper()
	if o.keys[name] == nil {
		key, err := nkeys.CreateAccount()
		must(o.t, err)
		o.keys[name] = key
	}
	return o.keys[name]
}

// config is the server's configuration with all accounts.
func (o *operator) config(accounts []queue.Account) string {
	o.t.Helper()
	claims := jwt.NewOperatorClaims(public(o.t, o.key))
	system := public(o.t, o.account("SYS"))
	claims.SystemAccount = system
	text, err := claims.Encode(o.key)
	must(o.t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "%soperator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n", jetStream, text, system)
	for _, account := range append(accounts, queue.Account{Name: "SYS"}) {
		fmt.Fprintf(&b, "  %s: %s\n", public(o.t, o.account(account.Name)), o.claims(account))
	}
	return b.String() + "}\n"
}

func (o *operator) claims(account queue.Account) string {
	o.t.Helper()
	c := jwt.NewAccountClaims(public(o.t, o.account(account.Name)))
	c.Name = account.Name
	if account.JetStream {
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	}
	kinds := func(stream, service string) (jwt.ExportType, jwt.Subject) {
		if stream != "" {
			return jwt.Stream, jwt.Subject(stream)
		}
		return jwt.Service, jwt.Subject(service)
	}
	for _, export := range account.Exports {
		kind, subject := kinds(export.Stream, export.Service)
		c.Exports.Add(&jwt.Export{Subject: subject, Type: kind, TokenReq: true})
	}
	for _, import_ := range account.Imports {
		from, kind := import_.Service, jwt.Service
		if import_.Stream != nil {
			from, kind = import_.Stream, jwt.Stream
		}
		token := jwt.NewActivationClaims(c.Subject)
		token.ImportSubject, token.ImportType = jwt.Subject(from.Subject), kind
		text, err := token.Encode(o.account(from.Account))
		must(o.t, err)
		imported := &jwt.Import{Subject: jwt.Subject(from.Subject), Account: public(o.t, o.account(from.Account)), Token: text, Type: kind}
		if import_.To != "" {
			imported.LocalSubject = localSubject(import_.To)
		}
		c.Imports.Add(imported)
	}
	text, err := c.Encode(o.key)
	must(o.t, err)
	return text
}

// localSubject has $1 for each wildcard: in a JWT the subject of an import refers to those of the export.
func localSubject(to string) jwt.RenamingSubject {
	return jwt.RenamingSubject(strings.Replace(to, "*", "$1", 1))
}

// creds writes the credentials of a new user.
func (o *operator) creds(file string, u queue.ServerUser) {
	o.t.Helper()
	name, key := user(o.t, file+".seed")
	claims := jwt.NewUserClaims(name)
	claims.Name = u.Name
	granted := u.Permissions("")
	claims.Pub.Allow, claims.Sub.Allow = granted.Publish, granted.Subscribe
	text, err := claims.Encode(o.account(u.Account("")))
	must(o.t, err)
	seed, err := key.Seed()
	must(o.t, err)
	whole, err := jwt.FormatUserConfig(text, seed)
	must(o.t, err)
	must(o.t, os.WriteFile(file, whole, 0o600))
}

// TestCredsChangeWhileWeRun: operator, accounts and users are JWTs, and all are replaced.
func TestCredsChangeWhileWeRun(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	ofC, ofA := queue.ServerUser{Name: "c"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}}
	ofG := queue.ServerUser{Name: "g", Pools: []string{"rest"}, Group: true}
	fileOfC, fileOfA, fileOfG := filepath.Join(s.dir, "c.creds"), filepath.Join(s.dir, "a.creds"), filepath.Join(s.dir, "g.creds")
	begin := func() {
		o := newOperator(t)
		s.start(o.config(queue.ServerAccounts("", []queue.ServerUser{ofC, ofA, ofG})))
		o.creds(fileOfC, ofC)
		o.creds(fileOfA, ofA)
		o.creds(fileOfG, ofG)
	}
	begin()
	h := &house{t: t}
	c := h.connect(queue.Config{URL: s.url(), Login: queue.Login{CredsFile: fileOfC}})
	a := h.connect(queue.Config{URL: s.url(), Worker: "a", Login: queue.Login{CredsFile: fileOfA}})
	g := h.connect(queue.Config{URL: s.url(), Worker: "g.1", Login: queue.Login{CredsFile: fileOfG}})
	exchange(t, c, a)
	must(t, a.CheckPermissions(h.context(), []string{"rest"}))
	everythingPasses(t, c, g, "g.1")
	begin()
	exchange(t, c, a)
	exchange(t, c, g)

	newOperator(t).creds(fileOfC, ofC)
	_, err := queue.Connect(h.context(), queue.Config{URL: s.url(), Login: queue.Login{CredsFile: fileOfC}, Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), "the JWT of TASKGROVE_NATS_CREDS_FILE is refused") {
		t.Errorf("got %v", err)
	}
}

// TestStreamsInAnotherDomain: a coordinator at a leaf node without JetStream uses the streams of the hub, where the workers are.
func TestStreamsInAnotherDomain(t *testing.T) {
	t.Parallel()
	hub, leaf := newServed(t), newServed(t)
	place := queue.Place{Domain: "hub"}
	leafPort := porttest.Port(t)
	hub.start(fmt.Sprintf("server_name: hub\njetstream { store_dir: \"STORE\", domain: hub }\nleafnodes { host: 127.0.0.1, port: %d }\n", leafPort) +
		place.ServerConfig([]queue.ServerUser{{Name: "c", Password: "secret"}, {Name: "a", Password: "secret", Pools: []string{"rest"}}}))
	leaf.start(fmt.Sprintf("server_name: leaf\nleafnodes { remotes: [ { url: \"nats://c:secret@127.0.0.1:%d\", account: TG } ] }\n", leafPort) +
		place.ServerConfig([]queue.ServerUser{{Name: "c", Password: "secret"}}))
	h := &house{t: t}
	login := func(name string, at *served) string { return strings.Replace(at.url(), "//", "//"+name+":secret@", 1) }
	c := h.connect(queue.Config{URL: login("c", leaf), Domain: "hub"})
	a := h.connect(queue.Config{URL: login("a", hub), Worker: "a"})
	exchange(t, c, a)
	must(t, a.CheckPermissions(h.context(), []string{"rest"}))
}

// TestOneAccountForAll: where a service gives one account, coordinators and workers are users of it, with the same permissions.
func TestOneAccountForAll(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	var users strings.Builder
	for _, u := range []queue.ServerUser{{Name: "c"}, {Name: "g", Pools: []string{"rest"}, Group: true}} {
		granted := u.Permissions("")
		list := func(subjects []string) string { return `["` + strings.Join(subjects, `", "`) + `"]` }
		fmt.Fprintf(&users, "{ user: %s, password: secret, permissions: { publish: %s, subscribe: %s } }\n", u.Name, list(granted.Publish), list(granted.Subscribe))
	}
	s.start(jetStream + "accounts { ONE: { jetstream: enabled, users: [\n" + users.String() + "] } }\n")
	h := &house{t: t}
	c := h.connect(queue.Config{URL: strings.Replace(s.url(), "//", "//c:secret@", 1)})
	w := h.connect(queue.Config{URL: strings.Replace(s.url(), "//", "//g:secret@", 1), Worker: "g.1"})
	exchange(t, c, w)
	everythingPasses(t, c, w, "g.1")
}

// TestUsersComeByReload: a server that reads its configuration again lets a new group work beside those that do.
func TestUsersComeByReload(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	users := []queue.ServerUser{{Name: "c", Password: "secret"}, {Name: "a", Password: "secret", Pools: []string{"rest"}}}
	s.start(jetStream + queue.ServerConfig("", users))
	h := &house{t: t}
	login := func(name string) string { return strings.Replace(s.url(), "//", "//"+name+":secret@", 1) }
	c, a := h.connect(queue.Config{URL: login("c")}), h.connect(queue.Config{URL: login("a"), Worker: "a"})
	exchange(t, c, a)
	for range 2 {
		file := filepath.Join(s.dir, "nats.conf")
		text := fmt.Sprintf("host: 127.0.0.1\nport: %d\n", s.port) + strings.ReplaceAll(jetStream, "STORE", s.dir) +
			queue.ServerConfig("", append(users, queue.ServerUser{Name: "g", Password: "secret", Pools: []string{"rest"}, Group: true}))
		must(t, os.WriteFile(file, []byte(text), 0o600))
		must(t, s.nats.Reload())
		g := h.connect(queue.Config{URL: login("g"), Worker: "g.1"})
		exchange(t, c, g)
		exchange(t, c, a)
		g.Close()
	}
}
