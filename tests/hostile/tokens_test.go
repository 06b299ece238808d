package hostile

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/internal/config"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// attempt is what a request says of its sender. Each is refused by every surface, in one text.
type attempt struct{ header, value string }

// attempts are credentials that are not believed, by what is wrong with them.
func (o *owners) attempts() map[string]attempt {
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		all := jwt.MapClaims{"sub": "root", "roles": []string{"admin"}, "exp": time.Now().Add(time.Hour).Unix()}
		for name, value := range claims {
			all[name] = value
		}
		token, err := jwt.NewWithClaims(method, all).SignedString(key)
		must(o.t, err)
		return token
	}
	secret := []byte("a secret of thirty-two bytes, ok")
	good := o.tokens["root"]
	parts := strings.Split(good, ".")
	bearer := func(token string) attempt { return attempt{"Authorization", "Bearer " + token} }
	made := o.as("root", "POST", "/taskgrove.v1.KeyService/CreateAPIKey", `{"userId":"amy","roles":["viewer"]}`)
	revoked := between(o.t, made, `"secret":"`, `"`)
	if got := o.as("root", "POST", "/taskgrove.v1.KeyService/RevokeAPIKey", `{"id":"`+between(o.t, made, `"id":"`, `"`)+`"}`); !strings.HasPrefix(got, "200 ") {
		o.t.Fatal(got)
	}
	unknown := revoked[:4] + "0" + revoked[5:] // its checksum is wrong
	return map[string]attempt{
		"another secret":       bearer(sign(jwt.SigningMethodHS256, []byte("another secret, also rather long"), nil)),
		"no signature":         bearer(sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil)),
		"another algorithm":    bearer(sign(jwt.SigningMethodHS512, secret, nil)),
		"it has expired":       bearer(sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()})),
		"not valid yet":        bearer(sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()})),
		"it names nobody":      bearer(sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": ""})),
		"other claims":         bearer(parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root","exp":99999999999}`)) + "." + parts[2]),
		"padded":               bearer(good + "="),
		"cut":                  bearer(good[:len(good)-2]),
		"a revoked API key":    bearer(revoked),
		"a mistyped API key":   bearer(unknown),
		"a session as a token": bearer("tgs_" + revoked[4:]),
		"another scheme":       {"Authorization", "Basic " + good},
		"two tokens":           {"Authorization", "Bearer " + good + " " + good},
		"a token with a comma": {"Authorization", "Bearer " + good + ", Bearer " + good},
		"a very long one":      bearer(strings.Repeat("x", 20_000)),
	}
}

// between is what stands between two texts.
func between(t *testing.T, text, before, after string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, before)
	value, _, ended := strings.Cut(rest, after)
	if !ok || !ended {
		t.Fatalf("%s lacks %s", text, before)
	}
	return value
}

// TestAttackersAreToldNothing: on each surface, credentials that are not believed get 401 and one text, whatever is wrong with them.
func TestAttackersAreToldNothing(t *testing.T) {
	t.Parallel()
	o := startOwners(t)
	surfaces := map[string]func(a attempt) string{}
	for name, row := range map[string][3]string{
		"JSON-RPC": {"POST", "/tasks", rpc("tasks.list", `{}`)}, "A2A": {"POST", "/", rpc("GetTask", `{"id":"x"}`)}, "MCP": {"POST", "/mcp", rpc("tools/list", `{}`)},
		"Connect": {"POST", "/taskgrove.v1.Taskgrove/ListTrees", `{}`}, "keys": {"POST", "/taskgrove.v1.KeyService/ListAPIKeys", `{}`}, "GET": {"GET", "/tasks", ""},
		"SSE": {"GET", "/tasks/x/events", ""}, "system": {"POST", "/system", rpc("config.llm_key.get", `{}`)},
	} {
		surfaces[name] = func(a attempt) string {
			r, err := http.NewRequestWithContext(t.Context(), row[0], o.http+row[1], strings.NewReader(row[2]))
			must(t, err)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/json, text/event-stream")
			r.Header.Set(a.header, a.value)
			answer, err := http.DefaultClient.Do(r)
			must(t, err)
			defer answer.Body.Close()
			text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
			must(t, err)
			return fmt.Sprint(answer.StatusCode, " ", string(text))
		}
	}
	surfaces["WebSocket"] = func(a attempt) string {
		socket, answer, err := websocket.Dial(t.Context(), strings.Replace(o.http, "http", "ws", 1)+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{a.header: {a.value}}})
		if err == nil {
			_ = socket.CloseNow()
			return "200 it is open"
		}
		return fmt.Sprint(answer.StatusCode)
	}
	called := func(err error) string {
		if status.Code(err) == codes.Unauthenticated {
			return "401 " + status.Convert(err).Message()
		}
		return fmt.Sprint(err)
	}
	with := func(a attempt) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), strings.ToLower(a.header), a.value)
	}
	surfaces["gRPC"] = func(a attempt) string {
		_, err := pb.NewTaskgroveClient(o.grpc).ListTrees(with(a), &pb.ListTreesRequest{})
		return called(err)
	}
	surfaces["gRPC stream"] = func(a attempt) string {
		stream, err := pb.NewTaskgroveClient(o.grpc).Watch(with(a), &pb.WatchRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		return called(err)
	}
	attempts := o.attempts()
	for name, ask := range surfaces {
		want := ask(attempts["another secret"])
		if !strings.HasPrefix(want, "401") || name != "WebSocket" && !strings.Contains(want, "Invalid or expired JWT token") {
			t.Errorf("%s: got %s", name, want)
		}
		for fact, a := range attempts {
			if got := ask(a); got != want {
				t.Errorf("%s, %s: got %s, want %s", name, fact, got, want)
			}
		}
	}
	for _, query := range []string{"token=" + o.tokens["root"], "access_token=" + o.tokens["root"], "authorization=" + o.tokens["root"], "api_key=x"} {
		answer, err := http.Get(o.http + "/tasks?" + query)
		must(t, err)
		_ = answer.Body.Close()
		if answer.StatusCode != 401 {
			t.Errorf("a token in the query: HTTP %d", answer.StatusCode)
		}
	}
}

// TestGuessesOfKeysHoldNobodyUp: while many guess, whoever has a key is served.
func TestGuessesOfKeysHoldNobodyUp(t *testing.T) {
	t.Parallel()
	o := startWith(t, map[string][]string{"root": {"admin"}}, func(c *config.Coordinator) {
		must(t, c.CallerRate.Decode("0")) // the bound of an address would refuse most guesses
	})
	made := o.as("root", "POST", "/taskgrove.v1.KeyService/CreateAPIKey", `{"userId":"amy","roles":["viewer"]}`)
	key := between(t, made, `"secret":"`, `"`)
	call := func(key string) error {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+key)
		_, err := pb.NewTaskgroveClient(o.grpc).ListTrees(ctx, &pb.ListTreesRequest{})
		return err
	}
	must(t, call(key))
	const guesses = 500
	refused := make(chan error, guesses)
	for i := range guesses {
		go func() {
			err := call(fmt.Sprintf("tgk_%049d", i))
			if status.Code(err) != codes.Unauthenticated {
				refused <- errors.Join(errors.New("a guess"), err)
				return
			}
			refused <- nil
		}()
	}
	for range guesses / 10 {
		must(t, call(key))
	}
	for range guesses {
		must(t, <-refused)
	}
}
