package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// provider starts the OpenID provider of panva, which is certified, and answers its issuer. make interop installs it.
func provider(t *testing.T, redirect string, env ...string) string {
	t.Helper()
	dir := os.Getenv("TASKGROVE_INTEROP_OIDC")
	if dir == "" {
		t.Skip("the OpenID provider is not installed: make interop does that, and runs this test")
	}
	text, err := os.ReadFile("testdata/provider.mjs")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "provider.mjs"), text, 0o600)) // node looks for packages beside a program
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "provider.mjs"), redirect)
	cmd.Env = append(os.Environ(), env...)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() }) // it ends with its input
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the provider does not start")
	}
	return lines.Text()
}

// browser follows redirects, keeps cookies, and fills in the provider's forms as a user.
type browser struct {
	t *testing.T
	*http.Client
	user string
}

func newBrowser(t *testing.T, user string) *browser {
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{t, &http.Client{Jar: jar, Timeout: patience}, user}
}

var (
	formAction = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	formInput  = regexp.MustCompile(`<input[^>]*>`)
	attribute  = regexp.MustCompile(`(name|value)="([^"]*)"`)
)

// open opens an address, and sends forms until there is none or the page is that of a server of ours. It answers where it came to, and what is there.
func (b *browser) open(at, ours string) (where, page string) {
	b.t.Helper()
	answer, err := b.Get(at)
	for range 10 {
		must(b.t, err)
		text, err2 := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		_ = answer.Body.Close()
		must(b.t, err2)
		where, page = answer.Request.URL.String(), string(text)
		form := formAction.FindStringSubmatch(page)
		if form == nil || ours != "" && strings.HasPrefix(where, ours) {
			return where, page
		}
		values := url.Values{}
		for _, input := range formInput.FindAllString(form[2], -1) {
			field := map[string]string{}
			for _, a := range attribute.FindAllStringSubmatch(input, -1) {
				field[a[1]] = a[2]
			}
			if field["name"] != "" && field["name"] != "abort" {
				values.Set(field["name"], field["value"])
			}
		}
		for name, value := range map[string]string{"login": b.user, "password": "any"} {
			if values.Has(name) {
				values.Set(name, value)
			}
		}
		to, err3 := answer.Request.URL.Parse(form[1])
		must(b.t, err3)
		answer, err = b.PostForm(to.String(), values)
	}
	b.t.Fatalf("the provider asks again and again: %s", page)
	return "", ""
}

// signedCluster is a cluster whose callers sign in at the provider.
func signedCluster(t *testing.T, env ...string) (base, grpc, issuer string) {
	t.Helper()
	address := porttest.Address(t)
	base = "http://" + address
	issuer = provider(t, base+"/callback", env...)
	file := filepath.Join(t.TempDir(), "callers.yaml")
	must(t, os.WriteFile(file, []byte("issuers:\n- issuer: "+issuer+"\n  audience: [cli]\n  claims: {group_roles: {makers: [submitter]}}\n  login: {client_id: page, scopes: [openid, profile]}\n"), 0o600))
	c := cluster.Start(t, cluster.Options{Coordinator: func(c *config.Coordinator) {
		c.Auth = config.Auth{CallersFile: file, Algorithm: "HS256"}
		c.HTTPAddr, c.GRPCAddr, c.BaseURL = config.Address(address), "127.0.0.1:0", config.BaseURL(base)
	}})
	return base, c.Coordinators[0].P.GRPC, issuer
}

const create = `{"jsonrpc":"2.0","id":1,"method":"tasks.create","params":[{"id":"mine","name":"mine"}]}`

// TestInteropSignIn: somebody signs in with a browser at a real provider, calls with the session, and signs out; the session counts no more.
func TestInteropSignIn(t *testing.T) {
	base, _, issuer := signedCluster(t)
	b := newBrowser(t, "amy")
	call := func(b *browser, origin string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/tasks", strings.NewReader(create))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		answer, err := b.Do(r)
		must(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		return answer.StatusCode, string(text)
	}
	if status, text := call(b, ""); status != 401 {
		t.Fatalf("before: HTTP %d %s", status, text)
	}
	where, page := b.open(base+"/login?return_to=/docs", base)
	if !strings.HasPrefix(where, base+"/docs") {
		t.Fatalf("signing in leads to %s: %s", where, page)
	}
	if status, text := call(b, base); status != 200 || !strings.Contains(text, `"user_id":"amy"`) {
		t.Fatalf("with the session: HTTP %d %s", status, text)
	}
	if status, _ := call(b, "https://evil.example"); status != 403 {
		t.Errorf("the session from a stranger's page: HTTP %d", status)
	}
	home, err := url.Parse(base)
	must(t, err)
	var session string
	for _, c := range b.Jar.Cookies(home) {
		if c.Name == "taskgrove_session" {
			session = c.Value
		}
	}
	thief := func(header, value string) int {
		r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/tasks", nil)
		must(t, err)
		r.Header.Set(header, value)
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	if !strings.HasPrefix(session, "tgs_") || thief("Cookie", "taskgrove_session="+session) != 200 || thief("Authorization", "Bearer "+session) != 401 {
		t.Errorf("the session %q counts elsewhere than in its cookie, or not there", session)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/logout", nil)
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := b.Do(r)
	must(t, err)
	_ = answer.Body.Close()
	if answer.StatusCode != 204 || thief("Cookie", "taskgrove_session="+session) != 401 {
		t.Errorf("signing out: HTTP %d, and the session counts", answer.StatusCode)
	}
	if where, _ := b.open(base+"/login", base); !strings.HasPrefix(where, base) {
		t.Errorf("signing in again leads to %s of %s", where, issuer)
	}
}

// TestInteropDeviceCode: the command shows a code, somebody enters it in a browser, commands call with the token, and renew it when it ends.
func TestInteropDeviceCode(t *testing.T) {
	_, grpc, issuer := signedCluster(t, "ID_TOKEN_TTL=33") // which is renewed 30 s before its end
	path, home := build(t), t.TempDir()
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), path, append(args, "--server", grpc)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, "config")}
		return cmd
	}
	if out, err := command("list").CombinedOutput(); err == nil || !strings.Contains(string(out), "taskgrove login") {
		t.Fatalf("before: %v %s", err, out)
	}
	cmd := command("login", "--issuer", issuer, "--client-id", "cli", "--scope", "openid", "--scope", "profile", "--scope", "offline_access")
	notes, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	lines, shown := bufio.NewScanner(notes), ""
	for lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "or open "); ok {
			shown = at
			break
		}
	}
	if !strings.HasPrefix(shown, issuer) {
		t.Fatalf("the command shows no address: %q", shown)
	}
	if _, page := newBrowser(t, "amy").open(shown, ""); !strings.Contains(page, "Success") {
		t.Errorf("the code was entered, and the page says %s", page)
	}
	rest, _ := io.ReadAll(notes)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("login: %v %s", err, rest)
	}
	file := filepath.Join(home, "config", "taskgrove", "logins.json")
	kept := func() (token string) {
		text, err := os.ReadFile(file)
		must(t, err)
		var all map[string]struct{ Token string }
		must(t, json.Unmarshal(text, &all))
		return all[grpc].Token
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the tokens are kept in a file of %v, %v", info.Mode(), err)
	}
	submit := command("submit", "-", "--hold")
	submit.Stdin = strings.NewReader(`[{"id":"mine","name":"mine"}]`)
	if out, err := submit.CombinedOutput(); err != nil {
		t.Fatalf("submit: %v %s", err, out)
	}
	first := kept()
	deadline, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for kept() == first { // until it is renewed
		if out, err := command("get", "mine").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("amy")) && !bytes.Contains(out, []byte("mine")) {
			t.Fatalf("get: %v %s", err, out)
		}
		if deadline.Err() != nil {
			t.Fatal("the token is not renewed")
		}
		time.Sleep(200 * time.Millisecond)
	}
	if out, err := command("logout").CombinedOutput(); err != nil {
		t.Errorf("logout: %v %s", err, out)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), first) {
		t.Errorf("after logout the file holds %s, %v", text, err)
	}
	if out, err := command("get", "mine").CombinedOutput(); err == nil {
		t.Errorf("after logout: %s", out)
	}
}
