package identity_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/identity"
)

// raw is a token of a header and claims as they are written, with a signature of the method.
func raw(t *testing.T, header, claims string, method jwt.SigningMethod, key any) string {
	t.Helper()
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(signature)
}

// TestAttacksOnTokens: each is refused for its reason, which the log is told without the token.
func TestAttacksOnTokens(t *testing.T) {
	t.Parallel()
	a, b := publish(t), publish(t)
	a.add("rsa", "RSA")
	a.add("ec", "P-256")
	b.add("ec", "P-256")
	der, err := x509.MarshalPKIXPublicKey(a.private["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	callers := identity.NewCallers(verifier(t, identity.Config{}), []*identity.Verifier{a.verifier(nil), b.verifier(nil)}, nil)
	ec, hs := a.private["ec"], []byte(secret)
	end := time.Now().Add(time.Hour).Unix()
	text := func(c claims) string {
		all := claims{"iss": a.URL, "aud": "grove", "sub": "root", "exp": end}
		for name, value := range c {
			all[name] = value
		}
		out, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	es := func(header, claims string) string { return raw(t, header, claims, jwt.SigningMethodES256, ec) }
	evil := publish(t)
	evil.add("ec", "P-256")
	brought, err := json.Marshal(evil.keys[0])
	if err != nil {
		t.Fatal(err)
	}
	by := func(header string) string { // signed by a key that the header brings along
		return raw(t, header, text(nil), jwt.SigningMethodES256, evil.private["ec"])
	}
	good := es(`{"alg":"ES256","kid":"ec"}`, text(nil))
	parts := strings.Split(good, ".")
	attacks := map[string]struct {
		token string
		want  identity.Reason
	}{
		"the public key as a secret":          {raw(t, `{"alg":"HS256","kid":"rsa"}`, text(nil), jwt.SigningMethodHS256, public), identity.Algorithm},
		"the public key in DER as a secret":   {raw(t, `{"alg":"HS256","kid":"rsa"}`, text(nil), jwt.SigningMethodHS256, der), identity.Algorithm},
		"an empty secret":                     {raw(t, `{"alg":"HS256"}`, text(claims{"iss": nil}), jwt.SigningMethodHS256, []byte{}), identity.Signature},
		"the settings' secret for an issuer":  {raw(t, `{"alg":"HS256"}`, text(nil), jwt.SigningMethodHS256, hs), identity.Algorithm},
		"an issuer's key without its iss":     {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"iss": ""})), identity.Algorithm},
		"another issuer's iss":                {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"iss": b.URL})), identity.Signature},
		"its iss with a slash":                {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"iss": a.URL + "/"})), identity.Algorithm},
		"a list of issuers":                   {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"iss": []string{a.URL}})), identity.Malformed},
		"another audience":                    {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"aud": "other"})), identity.WrongAud},
		"no audience":                         {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"aud": []string{}})), identity.WrongClaims},
		"it has expired":                      {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"exp": end - 7200})), identity.Expired},
		"it is not valid yet":                 {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"nbf": end})), identity.NotYetValid},
		"it was issued in the future":         {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"iat": end})), identity.NotYetValid},
		"it never ends":                       {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"exp": nil})), identity.WrongClaims},
		"the key in the header":               {by(`{"alg":"ES256","jwk":` + string(brought) + `}`), identity.Signature},
		"the key at a URL":                    {by(`{"alg":"ES256","kid":"ec","jku":"` + evil.URL + `/keys"}`), identity.Signature},
		"a certificate at a URL":              {by(`{"alg":"ES256","kid":"ec","x5u":"` + evil.URL + `"}`), identity.Signature},
		"a certificate in the header":         {by(`{"alg":"ES256","kid":"ec","x5c":["MIIB"]}`), identity.Signature},
		"a name of a key that is a path":      {by(`{"alg":"ES256","kid":"../../../../dev/null"}`), identity.UnknownKey},
		"a name of a key that is SQL":         {by(`{"alg":"ES256","kid":"x' union select 'key"}`), identity.UnknownKey},
		"a name of a key that is no text":     {by(`{"alg":"ES256","kid":["ec"]}`), identity.Malformed},
		"an algorithm that is no text":        {es(`{"alg":["ES256"],"kid":"ec"}`, text(nil)), identity.Malformed},
		"no algorithm":                        {es(`{"kid":"ec"}`, text(nil)), identity.Algorithm},
		"another key's algorithm":             {raw(t, `{"alg":"ES256","kid":"rsa"}`, text(nil), jwt.SigningMethodES256, ec), identity.Algorithm},
		"parameters that must be understood":  {es(`{"alg":"ES256","kid":"ec","crit":["exp"],"exp":1}`, text(nil)), identity.Malformed},
		"an empty list of these":              {es(`{"alg":"ES256","kid":"ec","crit":[]}`, text(nil)), identity.Malformed},
		"a logout token":                      {es(`{"alg":"ES256","kid":"ec","typ":"logout+jwt"}`, text(nil)), identity.Malformed},
		"a proof of possession":               {es(`{"alg":"ES256","kid":"ec","typ":"dpop+jwt"}`, text(nil)), identity.Malformed},
		"an encrypted one":                    {"a.b.c.d.e", identity.Malformed},
		"a claim that is there twice":         {es(`{"alg":"ES256","kid":"ec"}`, strings.Replace(text(nil), `{`, `{"sub":"amy",`, 1)), identity.Malformed},
		"an algorithm that is there twice":    {es(`{"alg":"none","alg":"ES256","kid":"ec"}`, text(nil)), identity.Malformed},
		"twice, written otherwise":            {es(`{"alg":"ES256","kid":"ec"}`, strings.Replace(text(nil), `{`, `{"\u0073ub":"amy",`, 1)), identity.Malformed},
		"deep claims":                         {es(`{"alg":"ES256","kid":"ec"}`, `{"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`}`), identity.Malformed},
		"huge claims":                         {es(`{"alg":"ES256","kid":"ec"}`, text(claims{"x": strings.Repeat("x", 9000)})), identity.Malformed},
		"claims that are a list":              {es(`{"alg":"ES256","kid":"ec"}`, `[`+text(nil)+`]`), identity.Malformed},
		"claims that are null":                {es(`{"alg":"ES256","kid":"ec"}`, `null`), identity.Malformed},
		"claims with something behind":        {es(`{"alg":"ES256","kid":"ec"}`, text(nil)+`{}`), identity.Malformed},
		"base64 with padding":                 {good + "==", identity.Malformed},
		"base64 of another alphabet":          {parts[0] + "+." + parts[1] + "." + parts[2], identity.Malformed},
		"base64 with other bits at its end":   {parts[0] + "." + parts[1] + "." + otherBits(parts[2]), identity.Malformed},
		"a line break":                        {parts[0] + ".\n" + parts[1] + "." + parts[2], identity.Malformed},
		"a space":                             {parts[0] + " ." + parts[1] + "." + parts[2], identity.Malformed},
		"no signature":                        {parts[0] + "." + parts[1] + ".", identity.Signature},
		"half a signature":                    {parts[0] + "." + parts[1] + "." + parts[2][:40], identity.Signature},
		"a signature of zeros":                {parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)), identity.Signature},
		"another's signature":                 {parts[0] + "." + parts[1] + "." + strings.Split(b.token("ES256", "ec", nil), ".")[2], identity.Signature},
		"nothing":                             {"", identity.Malformed},
		"dots":                                {"..", identity.Malformed},
		"a key that can't be":                 {"tgk_" + strings.Repeat("0", 49), identity.Malformed},
		"a session that came as a token":      {"tgs_" + strings.Repeat("0", 49), identity.Malformed},
		"the end of an API key in other case": {"TGK_" + strings.Repeat("0", 49), identity.Malformed},
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "", "HS256\\u0000", "hs256", "es256"} {
		attacks["the algorithm "+alg] = struct {
			token string
			want  identity.Reason
		}{b64([]byte(`{"alg":"`+alg+`"}`)) + "." + b64([]byte(text(nil))) + ".", identity.Algorithm}
	}
	if _, err := callers.Identify(t.Context(), given(good)); err != nil {
		t.Fatalf("the one that is right: %v", err)
	}
	told := map[identity.Reason]int{}
	callers.Refused = func(why identity.Reason) { told[why]++ }
	for fact, tt := range attacks {
		who, err := callers.Identify(t.Context(), given(tt.token))
		if err == nil {
			t.Errorf("%s: it is taken for %+v", fact, who)
			continue
		}
		if got := reason(err); got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", fact, got, err, tt.want)
		}
		for _, part := range strings.Split(tt.token, ".") {
			if len(part) > 8 && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the log is told of the token: %v", fact, err)
			}
		}
	}
	count := 0
	for _, n := range told {
		count += n
	}
	if count != len(attacks) {
		t.Errorf("%d of %d refusals were counted", count, len(attacks))
	}
	if evil.asks.Load() != 0 {
		t.Errorf("a token's header made it ask %d times", evil.asks.Load())
	}
}

// otherBits is a base64 text whose last letter has bits that decode to nothing.
func otherBits(text string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(letters, text[len(text)-1])
	return text[:len(text)-1] + string(letters[last|1])
}

// TestATokenGoesBeforeACertificate: one that is not believed is refused whatever comes along.
func TestATokenGoesBeforeACertificate(t *testing.T) {
	t.Parallel()
	callers := identity.NewCallers(verifier(t, identity.Config{}), nil, []identity.Machine{{CommonName: "machine", Roles: []string{"worker"}}})
	state := certified(t, "machine")
	amy := signed(t, jwt.SigningMethodHS256, []byte(secret), claims{"sub": "amy"})
	for fact, tt := range map[string]struct {
		given api.Credentials
		user  string
	}{
		"both": {api.Credentials{Token: amy, TLS: state}, "amy"}, "a certificate": {api.Credentials{TLS: state}, "machine"},
		"a wrong token": {api.Credentials{Token: "x", TLS: state}, ""}, "neither": {api.Credentials{}, ""},
	} {
		if who, err := callers.Identify(t.Context(), tt.given); who.User != tt.user || (err == nil) != (tt.user != "") {
			t.Errorf("%s: got %+v, %v", fact, who, err)
		}
	}
}
