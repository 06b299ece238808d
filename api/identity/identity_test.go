package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/coordinator"
)

const secret = "a secret of thirty-two bytes, ok"

func verifier(t *testing.T, cfg identity.Config) *identity.Verifier {
	t.Helper()
	if cfg.Keys == nil {
		cfg.Keys = []string{secret}
	}
	v, err := identity.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signed is a token of claims; exp is an hour ahead unless given, and absent where given as nil.
func signed(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims, header ...string) string {
	t.Helper()
	all := jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	token := jwt.NewWithClaims(method, all)
	for i := 0; i+1 < len(header); i += 2 {
		token.Header[header[i]] = header[i+1]
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

type claims = jwt.MapClaims

func TestWhoATokenIsOf(t *testing.T) {
	t.Parallel()
	v := verifier(t, identity.Config{})
	for fact, tt := range map[string]struct {
		claims claims
		user   string // empty: not believed
		admin  bool
	}{
		"sub":                         {claims{"sub": "amy"}, "amy", false},
		"user_id goes before sub":     {claims{"sub": "amy", "user_id": "bob"}, "bob", false},
		"an empty user_id is none":    {claims{"sub": "amy", "user_id": ""}, "amy", false},
		"a user_id of null is none":   {claims{"sub": "amy", "user_id": json.RawMessage("null")}, "amy", false},
		"a number":                    {claims{"user_id": 42}, "42", false},
		"half a number":               {claims{"user_id": 4.2}, "", false},
		"neither":                     {claims{"name": "amy"}, "", false},
		"both empty":                  {claims{"sub": "", "user_id": ""}, "", false},
		"user_id is no text":          {claims{"sub": "amy", "user_id": []string{"root"}}, "", false},
		"a control character":         {claims{"sub": "amy\n"}, "", false},
		"too long":                    {claims{"sub": strings.Repeat("a", 256)}, "", false},
		"as long as may be":           {claims{"sub": strings.Repeat("é", 255)}, strings.Repeat("é", 255), false},
		"roles":                       {claims{"sub": "amy", "roles": []string{"dev", "admin"}}, "amy", true},
		"role":                        {claims{"sub": "amy", "role": "admin"}, "amy", true},
		"another role":                {claims{"sub": "amy", "role": "administrator"}, "amy", false},
		"a role in other letters":     {claims{"sub": "amy", "role": "Admin"}, "amy", false},
		"roles of numbers":            {claims{"sub": "amy", "roles": []int{1}}, "", false},
		"too many roles":              {claims{"sub": "amy", "roles": make([]string, 101)}, "", false},
		"admin by another claim":      {claims{"sub": "amy", "admin": true}, "amy", false},
		"without an end":              {claims{"sub": "amy", "exp": nil}, "", false},
		"its end is past":             {claims{"sub": "amy", "exp": time.Now().Add(-time.Second).Unix()}, "", false},
		"its beginning is to come":    {claims{"sub": "amy", "nbf": time.Now().Add(time.Hour).Unix()}, "", false},
		"it was issued in the future": {claims{"sub": "amy", "iat": time.Now().Add(time.Hour).Unix()}, "", false},
		"its end is no time":          {claims{"sub": "amy", "exp": "never"}, "", false},
	} {
		who, err := v.Caller(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(secret), tt.claims))
		if who.User != tt.user || who.Name != tt.user || isAdmin(who) != tt.admin || (err == nil) != (tt.user != "") {
			t.Errorf("%s: got %+v, %v", fact, who, err)
		}
	}
}

// isAdmin reports whether a caller is an admin of the cluster.
func isAdmin(who coordinator.Caller) bool {
	return slices.Contains(who.Roles, coordinator.RoleIn{Role: "admin", Namespace: coordinator.AllNamespaces})
}

func TestWhatIsNotBelieved(t *testing.T) {
	t.Parallel()
	amy := claims{"sub": "amy"}
	good := signed(t, jwt.SigningMethodHS256, []byte(secret), amy)
	parts := strings.Split(good, ".")
	v := verifier(t, identity.Config{})
	for fact, token := range map[string]string{
		"nothing":              "",
		"no token":             "abc",
		"another secret":       signed(t, jwt.SigningMethodHS256, []byte("another secret, also rather long"), amy),
		"no signature":         signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, amy),
		"the signature is cut": parts[0] + "." + parts[1] + ".",
		"another claim":        parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root","exp":99999999999}`)) + "." + parts[2],
		"alg none, signed":     base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"another algorithm":    signed(t, jwt.SigningMethodHS512, []byte(secret), amy),
		"critical parameters":  signed(t, jwt.SigningMethodHS256, []byte(secret), amy, "crit", "x"),
		"larger than bounds":   signed(t, jwt.SigningMethodHS256, []byte(secret), claims{"sub": "amy", "x": strings.Repeat("x", identity.MaxTokenBytes)}),
		"four parts":           good + ".x",
		"with a line break":    good + "\n",
	} {
		if who, err := v.Caller(t.Context(), token); err == nil {
			t.Errorf("%s: it is taken for %+v", fact, who)
		} else if token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error shows it: %v", fact, err)
		}
	}
	if _, err := v.Caller(t.Context(), good); err != nil {
		t.Errorf("the one that is right: %v", err)
	}
}

// keyPair is a private key, and its public one in PEM.
func keyPair(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestAPublicKeyIsNoSecret: whoever knows the public key can't sign with it as if it were a secret.
func TestAPublicKeyIsNoSecret(t *testing.T) {
	t.Parallel()
	private, public := keyPair(t)
	v := verifier(t, identity.Config{Algorithm: "ES256", Keys: []string{public}})
	if who, err := v.Caller(t.Context(), signed(t, jwt.SigningMethodES256, private, claims{"sub": "amy"})); err != nil || who.User != "amy" {
		t.Errorf("signed by the private key: got %+v, %v", who, err)
	}
	if who, err := v.Caller(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(public), claims{"sub": "amy"})); err == nil {
		t.Errorf("signed by the public key as a secret: it is taken for %+v", who)
	}
	if _, err := identity.New(identity.Config{Keys: []string{public}}); err == nil {
		t.Error("a public key is taken for a secret")
	}
	if _, err := v.Issue("amy", nil, time.Hour, time.Now()); err == nil {
		t.Error("a token was issued without a secret")
	}
}

func TestConfigurations(t *testing.T) {
	t.Parallel()
	_, public := keyPair(t)
	for fact, cfg := range map[string]identity.Config{
		"no key": {}, "an unknown algorithm": {Algorithm: "none", Keys: []string{secret}}, "a short secret": {Keys: []string{"SHOWN12"}},
		"a secret for ES256": {Algorithm: "ES256", Keys: []string{"SHOWN" + secret}}, "a public key of another kind": {Algorithm: "RS256", Keys: []string{public}},
		"too many": {Keys: make([]string, identity.MaxKeys+1)},
	} {
		if _, err := identity.New(cfg); err == nil || strings.Contains(err.Error(), "SHOWN") {
			t.Errorf("%s: got %v", fact, err)
		}
	}
	token := signed(t, jwt.SigningMethodHS256, []byte(secret), claims{"sub": "amy", "iss": "us", "aud": []string{"grove", "other"}, "exp": time.Now().Add(-5 * time.Second).Unix()})
	for fact, tt := range map[string]struct {
		cfg identity.Config
		yes bool
	}{
		"issuer and audience":             {identity.Config{Issuer: "us", Audience: "grove", Leeway: time.Minute}, true},
		"over by more than clocks differ": {identity.Config{Issuer: "us", Audience: "grove", Leeway: time.Second}, false},
		"another issuer":                  {identity.Config{Issuer: "them", Leeway: time.Minute}, false},
		"another audience":                {identity.Config{Audience: "them", Leeway: time.Minute}, false},
		"an older secret":                 {identity.Config{Keys: []string{"the secret that is the newer one", secret}, Leeway: time.Minute}, true},
	} {
		if _, err := verifier(t, tt.cfg).Caller(t.Context(), token); (err == nil) != tt.yes {
			t.Errorf("%s: got %v", fact, err)
		}
	}
}

func TestIssuedTokens(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"", "HS256", "HS384", "HS512"} {
		v := verifier(t, identity.Config{Algorithm: algorithm})
		token, err := v.Issue("amy", []string{"admin"}, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if who, err := v.Caller(t.Context(), token); err != nil || who.User != "amy" || !isAdmin(who) {
			t.Errorf("%s: got %+v, %v", algorithm, who, err)
		}
		if weak := v.Weak(); weak != (algorithm == "HS384" || algorithm == "HS512") {
			t.Errorf("%s: a secret of 32 bytes is weak: %v", algorithm, weak)
		}
	}
	for _, user := range []string{"", "a\x00", strings.Repeat("a", 256)} {
		if _, err := verifier(t, identity.Config{}).Issue(user, nil, time.Hour, time.Now()); err == nil {
			t.Errorf("%q got a token", user)
		}
	}
}
