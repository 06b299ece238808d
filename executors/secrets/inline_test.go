package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/taskgrove/taskgrove/executors"
)

// connects is like sql_executor, with an input that connections may leave open.
var connects = executors.Description{
	ID: "x_executor", Secrets: true,
	Inputs: json.RawMessage(`{"type":"object","properties":{"query":{},"timeout":{},"connection":{}}}`),
	Connection: &executors.Connection{
		Types: []string{"postgres", "mysql", "sqlite", "smtp"}, TypeField: "driver", Fields: []string{"driver", "url", "host", "port", "username", "password", "database", "sslmode", "from_addr"},
	},
}

// sealed is a text encrypted to an identity, armoured and in base64, and the file of the identity.
func sealed(t *testing.T, text string) (armoured, binary, identities string) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identities = filepath.Join(t.TempDir(), "keys")
	put(t, identities, identity.String())
	var plain, wrapped bytes.Buffer
	for _, one := range []struct {
		to   io.Writer
		done func() error
	}{{&plain, func() error { return nil }}, func() struct {
		to   io.Writer
		done func() error
	} {
		a := armor.NewWriter(&wrapped)
		return struct {
			to   io.Writer
			done func() error
		}{a, a.Close}
	}()} {
		w, err := age.Encrypt(one.to, identity.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(w, text)
		if err = errors.Join(err, w.Close(), one.done()); err != nil {
			t.Fatal(err)
		}
	}
	return wrapped.String(), base64.StdEncoding.EncodeToString(plain.Bytes()), identities
}

// TestInline: what a task defines as its connection becomes the fields of one, or is refused; no refusal shows a value.
func TestInline(t *testing.T) {
	const plain = "canary-plain-text"
	armoured, binary, identities := sealed(t, plain)
	s := newStore(t, `
secrets: {limited: {env: LIMITED, pools: [etl]}, never: {env: LIMITED, pools: []}, gone: {env: NOWHERE}}
providers: {age: {identities: `+identities+`, decode: `+identities+`}}
pools:
  staging: {profiles: {warehouse: {config: {host: staging.internal, password: "{{env.STAGING_PW}}"}}}}
connections: {named: {type: postgres, host: db, password: canary-of-the-operator}}
`, environment{"TASKGROVE_SECRET_PW": "canary-pw", "TASKGROVE_SECRET_ODD": "canary/p@ss:%41%", "TASKGROVE_SECRET_STAGING_PW": "canary-staging", "LIMITED": "canary-limited", "TASKGROVE_SECRET_CIPHER": binary,
		"TASKGROVE_SECRET_TOKEN": "{{env.PW}}", "TASKGROVE_SECRET_PORT_SECRET": "canary-port"}, nil)
	u := s.For(connects)
	text := func(v any) string { out, _ := json.Marshal(v); return string(out) }
	db := func(rest string) string {
		return `{"query":"q","connection":{"kind":"db","driver":"postgres"` + rest + `}}`
	}
	many := map[string]any{}
	for i := range 3000 {
		many[fmt.Sprintf("k%d", i)] = "v"
	}
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for fact, tt := range map[string]struct {
		pool, inputs string
		want         string // inputs, or a part of the error
		kind         string
	}{
		"parts":                    {"p", db(`,"name":"wh","config":{"host":"h","port":"5433","user":"u","password":"{{env.PW}}","database":"d"}`), `{"query":"q","driver":"postgres","host":"h","port":5433,"username":"u","password":"canary-pw","database":"d"}`, ""},
		"a URL":                    {"p", db(`,"config":{"url":"postgresql+psycopg2://u:{{env.PW}}@h/d"}`), `{"query":"q","driver":"postgres","url":"postgres://u:canary-pw@h/d"}`, ""},
		"a URL, escaped":           {"p", db(`,"config":{"url":"postgres://u:{{env.ODD}}@h/d"}`), `{"query":"q","driver":"postgres","url":"postgres://u:canary%2Fp%40ss:%41%25@h/d"}`, ""},
		"sqlalchemy":               {"p", `{"connection":{"kind":"db","driver":"sqlalchemy","config":{"url":"mysql+pymysql://u:{{env.PW}}@h/d?charset=utf8mb4"}}}`, `{"driver":"mysql","url":"mysql://u:canary-pw@h/d"}`, ""},
		"sqlite":                   {"p", `{"connection":{"kind":"db","driver":"sqlite3","config":{"path":"a.db"}}}`, `{"driver":"sqlite","database":"a.db"}`, ""},
		"an optional secret":       {"p", db(`,"config":{"host":"h","password":"{{env.NOBODY:}}"}`), `{"query":"q","driver":"postgres","host":"h"}`, ""},
		"a secret is not rendered": {"p", db(`,"config":{"host":"h","password":"{{env.TOKEN}}"}`), `{"query":"q","driver":"postgres","host":"h","password":"{{env.PW}}"}`, ""},
		"defaults":                 {"p", db(`,"profile":"warehouse","defaults":{"config":{"host":"h","password":"{{env.PW}}"}},"config":{"database":"d"}`), `{"query":"q","driver":"postgres","host":"h","password":"canary-pw","database":"d"}`, ""},
		"a pool's overlay":         {"staging", db(`,"profile":"warehouse","defaults":{"config":{"host":"h","password":"{{env.PW}}"}},"config":{"database":"d"}`), `{"query":"q","driver":"postgres","host":"staging.internal","password":"canary-staging","database":"d"}`, ""},
		"the resource wins":        {"staging", db(`,"profile":"warehouse","config":{"host":"own","password":null}`), `{"query":"q","driver":"postgres","host":"own"}`, ""},
		"decoded":                  {"p", db(`,"config":{"host":"h","password":` + text(armoured) + `},"decode":{"config":{"password":true}}`), `{"query":"q","driver":"postgres","host":"h","password":"canary-plain-text"}`, ""},
		"a secret, decoded":        {"p", db(`,"config":{"host":"h","password":"{{env.CIPHER}}"},"decode":{"config_paths":["password"]}`), `{"query":"q","driver":"postgres","host":"h","password":"canary-plain-text"}`, ""},
		"nothing, decoded":         {"p", db(`,"config":{"host":"h","password":"{{env.NOBODY:}}"},"decode":{"config_paths":["password"]}`), `{"query":"q","driver":"postgres","host":"h"}`, ""},
		"an input left open":       {"p", `{"connection":{"kind":"mail","driver":"smtp","config":{"host":"h"},"options":{"timeout":5}}}`, `{"driver":"smtp","host":"h","timeout":5}`, ""},
		"an input of the task":     {"p", `{"timeout":9,"connection":{"kind":"mail","driver":"smtp","config":{"host":"h"},"options":{"timeout":5}}}`, `{"timeout":9,"driver":"smtp","host":"h"}`, ""},

		"kind as a template":         {"p", `{"connection":{"kind":"{{env.PW}}","driver":"postgres"}}`, "connection.kind: there is no kind", ""},
		"driver as a template":       {"p", `{"connection":{"kind":"db","driver":"{{env.PW}}"}}`, "connection.driver: db has no driver", ""},
		"another executor's":         {"p", `{"connection":{"kind":"rest","driver":"httpx","config":{"base_url":"http://h"}}}`, "this executor takes postgres", ""},
		"fields beside it":           {"p", `{"Host":"evil","connection":{"kind":"db","driver":"postgres","config":{"url":"postgres://u:{{env.PW}}@h/d"}}}`, "leave out Host", ""},
		"a secret of other pools":    {"p", db(`,"config":{"host":"h","password":"{{env.limited}}"}`), `connection.config.password: there is no secret "limited" for tasks of pool "p"`, ""},
		"a secret for connections":   {"p", db(`,"config":{"host":"evil","password":"{{env.never}}"}`), `there is no secret "never"`, ""},
		"a secret that is gone":      {"p", db(`,"config":{"host":"h","password":"{{env.gone:}}"}`), "can't be read at this worker now", ""},
		"an operator's reference":    {"p", db(`,"config":{"host":"evil","password":{"secret":"never"}}`), "connection.config.password: must be a text", ""},
		"the name of another":        {"p", db(`,"config":{"host":"h"},"connection":"named"`), `"connection" is no key of a connection`, ""},
		"pools of its own":           {"p", db(`,"config":{"host":"h"},"pools":["etl"]`), "is no key of a connection", ""},
		"another root":               {"p", db(`,"config":{"host":"{{deps.x.result}}"}`), "begins with none of env", "template.unknown_root"},
		"a broken template":          {"p", db(`,"config":{"host":"{{env.PW"}`), "has no }}", "template.syntax"},
		"a member of a secret":       {"p", db(`,"config":{"host":"{{env.PW.x}}"}`), "nothing is there", "template.missing_key"},
		"a number that is none":      {"p", db(`,"config":{"host":"h","port":"{{env.PORT_SECRET}}"}`), "connection.config.port: must be an integer", ""},
		"a URL of another database":  {"p", db(`,"config":{"url":"mysql://u:{{env.PW}}@h/d"}`), "names another kind of database", ""},
		"a URL that is none":         {"p", db(`,"config":{"url":"{{env.PW}}"}`), "connection.config.url: is no URL", ""},
		"huge":                       {"p", db(`,"config":` + text(many)), "has more than 2000 values", ""},
		"deep":                       {"p", db(`,"config":` + deep), "nested deeper", ""},
		"larger than any":            {"p", db(`,"config":{"host":"` + strings.Repeat("x", 300<<10) + `"}`), "is larger than", ""},
		"config that is a list":      {"p", db(`,"config":[1]`), "config can't be an array", ""},
		"decode of a file":           {"p", db(`,"config":{"host":"h","password":` + text(identities) + `},"decode":{"config_paths":["password"]}`), "can't be decoded", KindDecode},
		"decode of garbage":          {"p", db(`,"config":{"host":"h","password":"Z2FyYmFnZQ=="},"decode":{"config_paths":["password"]}`), "can't be decoded", KindDecode},
		"decode of a mixed text":     {"p", db(`,"config":{"url":"postgres://u:{{env.PW}}@h"},"decode":{"config_paths":["url"]}`), "must be a plain text or one token", KindNotStandalone},
		"decode of what is no text":  {"p", db(`,"config":{"host":"h","port":5},"decode":{"config_paths":["port"]}`), "must be there, as a text", ""},
		"decode through a list":      {"p", db(`,"config":{"host":"h"},"decode":{"config_paths":["host.x"]}`), "must be there, as a text", ""},
		"decode that is no decode":   {"p", db(`,"config":{"host":"h"},"decode":{"config":"host"}`), "must be a map", ""},
		"neither a text nor a table": {"p", `{"connection":[{"kind":"db","driver":"postgres"}]}`, "must be the name of a connection", ""},
		"nothing of a definition":    {"p", `{"connection":{"type":"postgres","host":"h"}}`, "an object with kind and driver", ""},
	} {
		as, err := u.Resolve(t.Context(), tt.pool, json.RawMessage(tt.inputs), []string{"connection"})
		switch {
		case strings.HasPrefix(tt.want, "{"):
			if err != nil || string(as.Inputs) != tt.want {
				t.Errorf("%s:\n got %s, %v\nwant %s", fact, as.Inputs, err, tt.want)
				continue
			}
			if as.Connection != "" {
				t.Errorf("%s: it counts as the operator's connection %s", fact, as.Connection)
			}
			if shown := string(as.Shown); strings.Contains(shown, "canary") {
				t.Errorf("%s: shows %s", fact, shown)
			}
			if strings.Contains(tt.want, "canary") {
				if text := as.Redactor.Text(tt.want); strings.Contains(text, "canary") {
					t.Errorf("%s: the redactor leaves %s", fact, text)
				}
			}
		case err == nil || !strings.Contains(err.Error(), tt.want) || executors.KindOf(err) != tt.kind:
			t.Errorf("%s: got %s, %v (%s), want %s (%s)", fact, as.Inputs, err, executors.KindOf(err), tt.want, tt.kind)
		default:
			refusal, _ := errors.AsType[*Refusal](err)
			if strings.Contains(err.Error(), "canary") || refusal == nil || strings.Contains(refusal.Why, "canary") {
				t.Errorf("%s: shows a value: %v, %+v", fact, err, refusal)
			}
			if permanent := executors.IsPermanent(err); permanent == (fact == "a secret that is gone") {
				t.Errorf("%s: permanent is %v", fact, permanent)
			}
		}
	}
	inputs := json.RawMessage(db(`,"config":{"host":"evil","password":"{{env.PW}}"}`))
	if as, err := u.Resolve(t.Context(), "p", inputs, []string{"query"}); err == nil || !strings.Contains(err.Error(), "only the task itself") || strings.Contains(string(as.Inputs), "canary") {
		t.Errorf("by a result: %s, %v", as.Inputs, err)
	}
}

// TestNothingDecodes: a value that is to be decoded is never used as it stands.
func TestNothingDecodes(t *testing.T) {
	_, binary, identities := sealed(t, "x")
	inputs := `{"connection":{"kind":"db","driver":"postgres","config":{"host":"h","password":"` + binary + `"},"decode":{"config_paths":["password"]}}}`
	for _, row := range []struct {
		file, kind string
		permanent  bool
	}{
		{"", KindNoProvider, true}, {"providers: {age: {identities: " + identities + "}}", KindNoProvider, true},
		{"providers: {age: {identities: " + identities + ", decode: /nowhere/at/all}}", KindDecode, false},
	} {
		_, err := newStore(t, row.file, nil, nil).For(connects).Resolve(t.Context(), "p", json.RawMessage(inputs), []string{"connection"})
		if executors.KindOf(err) != row.kind || executors.IsPermanent(err) != row.permanent || strings.Contains(fmt.Sprint(err), "nowhere") {
			t.Errorf("%s: %v (%s)", row.file, err, executors.KindOf(err))
		}
	}
}
