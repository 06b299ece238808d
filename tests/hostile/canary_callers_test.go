package hostile

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// callers are the secrets of coordinators and of who calls them: those that tokens are signed with, the key of seals, tokens, and keys of models
// that a user has stored and that come along on each surface.
func (c *canaries) callers() (settings []string) {
	c.t.Helper()
	for _, name := range []string{"jwt-secret", "old-jwt-secret", "key-stored", "key-by-a2a", "key-by-old-a2a", "key-by-mcp", "key-by-connect", "key-refused", "token-unsigned"} {
		c.all[name] = newCanary(name)
	}
	seal := make([]byte, 32)
	_, _ = rand.Read(seal)
	text := base64.StdEncoding.EncodeToString(seal)
	c.all["seal-key"], c.all["seal-key-bytes"] = canary{"seal-key", text[:40], text}, canary{"seal-key-bytes", string(seal), string(seal)}
	signed := []string{"TASKGROVE_JWT_SECRET=" + c.all["jwt-secret"].value}
	issue := exec.CommandContext(c.t.Context(), c.path, "token", "create", "--user", "root", "--role", "admin")
	issue.Env = signed
	token, err := issue.Output()
	must(c.t, err)
	c.token = strings.TrimSpace(string(token))
	signature := strings.LastIndex(c.token, ".") + 1
	c.all["token"] = canary{"token", c.token[signature:], c.token}
	unsigned := c.all["token-unsigned"]
	unsigned.core = unsigned.core[:24] // whole groups of base64
	c.all["token-unsigned"], c.unsigned = unsigned, c.token[:signature]+unsigned.core
	c.t.Setenv("TASKGROVE_TOKEN", c.token) // for commands
	return append(signed, "TASKGROVE_JWT_OLD_SECRET="+c.all["old-jwt-secret"].value, "TASKGROVE_SEAL_KEY="+text)
}

// post answers what the coordinator says to a request with headers, which come in pairs.
func (c *canaries) post(path, body string, headers ...string) string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.coordinator.HTTP+path, strings.NewReader(body))
	must(c.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	must(c.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(c.t, err)
	var shown strings.Builder
	must(c.t, answer.Header.Write(&shown))
	return shown.String() + string(text)
}

// calling runs tasks of models on each surface, with keys that come along and with one that is stored, and calls each in ways that it refuses.
func (c *canaries) calling() (answers string) {
	c.t.Helper()
	task := func(id string) string {
		return `{"tasks":[{"id":"` + id + `","name":"` + id + `","schemas":{"method":"llm_executor"},"inputs":{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}}]}`
	}
	rpc := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
	}
	bearer := "Bearer " + c.token
	surfaces := []struct{ key, path, body string }{
		{"key-by-a2a", "/", rpc("SendMessage", `{"message":{"messageId":"m1","role":"ROLE_USER","parts":[{"data":`+task("key-by-a2a")+`}]}}`)},
		{"key-by-old-a2a", "/", rpc("message/send", `{"message":{"messageId":"m2","role":"user","parts":[{"kind":"data","data":`+task("key-by-old-a2a")+`}]}}`)},
		{"key-by-mcp", "/mcp", rpc("tools/call", `{"name":"execute_task","arguments":{"wait":true,`+task("key-by-mcp")[1:]+`}`)},
		{"key-by-connect", "/taskgrove.v1.Taskgrove/SubmitTree", `{"document":` + task("key-by-connect") + `}`},
	}
	for _, s := range surfaces {
		answers += c.post(s.path, s.body, "Authorization", bearer, "X-LLM-API-KEY", c.all[s.key].value)
		answers += c.cli("", "watch", s.key, "-o", "json") + c.cli("", "get", s.key, "--attempts", "-o", "json")
	}
	stored, err := json.Marshal(c.all["key-stored"].value)
	must(c.t, err)
	answers += c.post("/system", rpc("config.llm_key.set", `{"provider":"openai","api_key":`+string(stored)+`}`), "Authorization", bearer)
	answers += c.post("/tasks", rpc("tasks.execute", `{"wait":true,`+task("key-stored")[1:]), "Authorization", bearer) + c.cli("", "get", "key-stored", "--attempts", "-o", "json")
	answers += c.post("/system", rpc("config.llm_key.get", `{}`), "Authorization", bearer)
	answers += c.refused(bearer, rpc, surfaces) + c.byKey(rpc)
	var sent []string
	for _, r := range c.models.Requests() {
		sent = append(sent, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}
	for _, name := range []string{"key-by-a2a", "key-by-old-a2a", "key-by-mcp", "key-by-connect", "key-stored"} {
		if !slices.Contains(sent, c.all[name].value) {
			c.t.Errorf("the model's service did not get %s: %s", name, answers)
		}
	}
	return answers
}

// byKey are calls with an API key, which the one answer that made it showed, with one that has been replaced, and with one that can't be.
func (c *canaries) byKey(rpc func(method, params string) string) (answers string) {
	c.t.Helper()
	made := strings.Fields(c.cli("", "keys", "create", "--user", "amy", "--role", "submitter"))
	key, id := "", ""
	for _, word := range made {
		switch {
		case strings.HasPrefix(word, "tgk_"):
			key = word
		case strings.HasPrefix(word, "key_"):
			id = word
		}
	}
	if key == "" || id == "" {
		c.t.Fatalf("keys create: %s", made)
	}
	c.all["api-key"] = canary{"api-key", key[4:44], key}
	answers += c.post("/tasks", rpc("tasks.list", `{}`), "Authorization", "Bearer "+key) + c.post("/tasks", rpc("tasks.list", `{}`), "Cookie", "auth_token="+key)
	if !strings.Contains(answers, "200") && !strings.Contains(answers, `"result"`) {
		c.t.Errorf("the key is not believed: %s", answers)
	}
	_ = c.cli("", "keys", "rotate", id) // which shows another
	for _, text := range []string{key, key + "x", key[:52], "tgs_" + key[4:]} {
		answers += c.post("/tasks", rpc("tasks.list", `{}`), "Authorization", "Bearer "+text) + c.post("/tasks?token="+text, rpc("tasks.list", `{}`))
	}
	return answers + c.cli("", "keys", "list", "-o", "json") + c.cli("", "keys", "revoke", id)
}

// refused are calls with a token that is not believed, and with keys that can't be.
func (c *canaries) refused(bearer string, rpc func(method, params string) string, surfaces []struct{ key, path, body string }) (answers string) {
	c.t.Helper()
	bad := c.all["key-refused"].value
	for _, s := range append(surfaces, struct{ key, path, body string }{"key-stored", "/tasks", rpc("tasks.execute", `{"task_id":"key-stored","force":true}`)}) {
		for _, headers := range [][]string{{"Authorization", "Bearer " + c.unsigned}, {"Authorization", c.unsigned}, {"Cookie", "auth_token=" + c.unsigned}, {"Authorization", bearer, "Authorization", c.unsigned}} {
			answer := c.post(s.path, s.body, headers...)
			refusal := "-32001"
			if strings.HasPrefix(s.path, "/taskgrove.") { // in the words of Connect
				refusal = `"unauthenticated"`
			}
			if !strings.Contains(answer, refusal) {
				c.t.Errorf("%s with a token that nobody signed: %s", s.path, answer)
			}
			answers += answer
		}
		answers += c.post(s.path, s.body, "Authorization", bearer, "X-LLM-API-KEY", bad+" x") + c.post(s.path, s.body, "Authorization", bearer, "X-LLM-API-KEY", bad, "X-LLM-API-KEY", bad+"2")
	}
	for _, params := range []string{`{"provider":"openai","api_key":"` + c.all["key-refused"].core + ` x"}`, `{"provider":"a:b","api_key":"` + c.all["key-refused"].core + `"}`,
		`{"user_id":"","api_key":["` + c.all["key-refused"].core + `"]}`, `{"api_key":{"x":"` + c.all["key-refused"].core + `"}}`} {
		answers += c.post("/system", rpc("config.llm_key.set", params), "Authorization", bearer)
	}
	c.t.Setenv("TASKGROVE_TOKEN", c.unsigned)
	answers += c.cli("", "list") + c.cli("", "watch", "key-stored")
	c.t.Setenv("TASKGROVE_TOKEN", c.token)
	return answers
}

// TestSecretsWouldBeFound in each form that is looked for, wherever they stand.
func TestSecretsWouldBeFound(t *testing.T) {
	t.Parallel()
	secret := newCanary("any")
	long := strings.Repeat("text ", 1000)
	for form, text := range map[string]string{
		"plain": secret.value, "half of it": secret.core, "JSON": `"C\"` + secret.core + `+/\u0026=%"`, "hexadecimal": hex.EncodeToString([]byte(secret.value)),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret.value)), "base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(secret.value)),
		"base64 behind one byte": base64.StdEncoding.EncodeToString([]byte("x" + secret.value)), "base64 behind two": base64.StdEncoding.EncodeToString([]byte("xy" + secret.value)),
	} {
		if got := secret.in([]byte(long + text + long)); got < 0 {
			t.Errorf("%s: was not found", form)
		}
	}
	if other := newCanary("other"); other.in([]byte(secret.value)) >= 0 {
		t.Error("another was found")
	}
}
