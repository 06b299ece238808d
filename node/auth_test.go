package node

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/approvals"
	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/api/openapi"
	"github.com/taskgrove/taskgrove/api/page"
	"github.com/taskgrove/taskgrove/api/triggers"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// guardedSite is all that a coordinator serves, on a service in memory, where callers are asked who they are.
type guardedSite struct {
	http, grpc string
	table      []mount
	tokens     *identity.Verifier
	svc        *apitest.Service
}

func serveGuarded(t *testing.T) *guardedSite {
	t.Helper()
	svc := apitest.New()
	return serveOn(t, svc, coordinator.NewAccess(svc, coordinator.ByRoles(svc, coordinator.RoleSettings{Default: coordinator.DefaultRole})), func(cfg *config.Coordinator) { cfg.CallerRate = 0 }) // a test asks more than the usual bound
}

// serveOn serves all surfaces on a service, whose settings change may change.
func serveOn(t *testing.T, svc *apitest.Service, access *coordinator.Access, change func(*config.Coordinator)) *guardedSite {
	t.Helper()
	cfg := config.Defaults[*config.Coordinator]()
	cfg.Secret, cfg.HTTPAddr, cfg.GRPCAddr = "a secret of thirty-two bytes, ok", "127.0.0.1:0", "127.0.0.1:0"
	if change != nil {
		change(cfg)
	}
	log := slog.New(slog.DiscardHandler)
	parts := partsOfCoordinator(cfg, Options{}, log)
	callers, err := parts.askCallers(log)
	if err != nil {
		t.Fatal(err)
	}
	parts.boundCallers(log)
	s := &guardedSite{tokens: callers.Own(), svc: svc}
	p := NewProcess(log)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	if s.http, s.grpc, err = p.serveSurfaces(ctx, access, parts); err != nil {
		t.Fatal(err)
	}
	tasks, agent := protocols(access, parts)
	s.table = mounts(access, parts, tasks, agent, nil)
	return s
}

// token is one of a user, with roles.
func (s *guardedSite) token(t *testing.T, user string, roles ...string) string {
	t.Helper()
	token, err := s.tokens.Issue(user, roles, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// request answers a request's status and body. header is Authorization; empty: none.
func (s *guardedSite) request(t *testing.T, method, path, header, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// documents are the paths that need no token (spec 5.1), beside those of the page, whose files are everybody's: whoever adds one says so here.
var documents = map[string]bool{
	"GET /{$}": true, "/docs": true, "/docs/": true, "/openapi.json": true, "/openapi.yaml": true,
	"/.well-known/agent-card.json": true, "/.well-known/agent.json": true, "/.well-known/agent-card": true,
}

// TestEverySurfaceAsksWhoCalls finds the surfaces over HTTP in the table of mounts, and the calls of gRPC in the server: none answers anybody
// who has no token, or one that is not believed.
func TestEverySurfaceAsksWhoCalls(t *testing.T) {
	t.Parallel()
	s := serveGuarded(t)
	for _, one := range s.table {
		method, path, _ := strings.Cut(one.path, " ")
		if path == "" {
			method, path = "", one.path
		}
		path = strings.NewReplacer("{$}", "", "{", "", "}", "", "...", "").Replace(path)
		if one.public != (documents[path] || documents[one.path] || slices.Contains(page.Paths, one.path)) {
			t.Errorf("%s: public is %v: does it show what is somebody's?", one.path, one.public)
		}
		if one.signed { // what the path has is asked for instead
			if one.path == triggers.Path { // a signature
				if got, body := s.request(t, "POST", "/triggers/default/nobodys", "", "{}"); got != 400 || !strings.Contains(body, "webhook-id: is required") {
					t.Errorf("%s without a signature: got HTTP %d %.200s, want 400", one.path, got, body)
				}
				continue
			}
			if !slices.Contains(approvals.Paths, one.path) {
				t.Errorf("%s: needs no token: what lets a request in?", one.path)
			}
			if got, body := s.request(t, method, path, "", "{}"); got != 404 {
				t.Errorf("%s with no link: got HTTP %d %.200s, want 404", one.path, got, body)
			}
			continue
		}
		for _, m := range []string{"GET", "POST", "PUT", "DELETE"} {
			if method != "" && m != method || m == "GET" && (one.public || documents["GET "+one.path]) {
				continue
			}
			for _, header := range []string{"", "Bearer nope"} {
				if got, body := s.request(t, m, path, header, "{}"); got != 401 || !strings.Contains(body, "-32001") {
					t.Errorf("%s %s with %q: got HTTP %d %.200s, want 401", m, path, header, got, body)
				}
			}
		}
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for method, streams := range callsOf(t, conn) {
		for _, ctx := range []context.Context{t.Context(), metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer nope")} {
			if err := invoke(ctx, conn, method, streams); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s: got %v", method, err)
			}
		}
	}
}

// TestDocumentSaysWhatNeedsAToken: without one, just those operations of the OpenAPI document are answered that it marks as public.
func TestDocumentSaysWhatNeedsAToken(t *testing.T) {
	t.Parallel()
	s := serveGuarded(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Security *[]map[string]any `json:"security"`
		} `json:"paths"`
		Security []map[string]any `json:"security"`
	}
	if err := json.Unmarshal(openapi.Document, &doc); err != nil {
		t.Fatal(err)
	}
	public := 0
	for path, operations := range doc.Paths {
		for verb, one := range operations {
			got, body := s.request(t, strings.ToUpper(verb), strings.ReplaceAll(path, "{id}", "x"), "", "{}")
			if marked := one.Security != nil && len(*one.Security) == 0; marked == (got == 401) {
				t.Errorf("%s %s: public is %v, and got HTTP %d %.200s", verb, path, marked, got, body)
			} else if marked {
				public++
			}
		}
	}
	if !slices.ContainsFunc(doc.Security, func(s map[string]any) bool { return s["bearer"] != nil }) || public < 4 {
		t.Errorf("got security %v, %d public operations", doc.Security, public)
	}
}

// callsOf are the calls of a server that are somebody's, by their paths; whether they stream. The server says which services it has.
func callsOf(t *testing.T, conn *grpc.ClientConn) map[string]bool {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]bool{}
	for _, one := range answer.GetListServicesResponse().GetService() {
		if strings.HasPrefix(one.Name, "grpc.health.") || strings.HasPrefix(one.Name, "grpc.reflection.") {
			continue
		}
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(one.Name))
		if err != nil {
			t.Fatal(err)
		}
		methods := found.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			m := methods.Get(i)
			calls["/"+one.Name+"/"+string(m.Name())] = m.IsStreamingServer() || m.IsStreamingClient()
		}
	}
	if len(calls) < 10 {
		t.Fatalf("the server has the calls %v", calls)
	}
	return calls
}

// invoke makes a call with an empty message, and returns its error.
func invoke(ctx context.Context, conn *grpc.ClientConn, method string, streams bool) error {
	if !streams {
		return conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	_ = stream.SendMsg(&emptypb.Empty{}) // of a stream that was refused meanwhile, the answer tells why
	_ = stream.CloseSend()
	return stream.RecvMsg(&emptypb.Empty{})
}

// TestTokensOnSurfaces are tokens, surfaces and what comes of them, through real servers.
func TestTokensOnSurfaces(t *testing.T) {
	t.Parallel()
	s := serveGuarded(t)
	amy, bob, root := s.token(t, "amy"), s.token(t, "bob"), s.token(t, "root", "admin")
	if got, body := s.request(t, "POST", "/tasks", "Bearer "+amy, `{"jsonrpc":"2.0","id":1,"method":"tasks.create","params":[{"id":"amys","name":"amys"}]}`); got != 200 || !strings.Contains(body, `"user_id":"amy"`) {
		t.Fatalf("got HTTP %d %s", got, body)
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	denied := "Permission denied: User bob can only access their own resources; missing permission: trees.read"
	for who, tt := range map[string]struct {
		token string
		http  int
		code  codes.Code
		text  string
	}{
		"the owner": {amy, 200, codes.OK, `"amys"`}, "an admin": {root, 200, codes.OK, `"amys"`}, "another": {bob, 403, codes.PermissionDenied, denied},
	} {
		const get = `{"jsonrpc":"2.0","id":1,"method":"tasks.get","params":{"task_id":"amys"}}`
		got, body := s.request(t, "POST", "/tasks", tt.token, get)
		if got != tt.http || !strings.Contains(body, tt.text) || got == 403 && !strings.Contains(body, "-32001") {
			t.Errorf("%s by JSON-RPC: got HTTP %d %s", who, got, body)
		}
		if got, body := s.request(t, "POST", "/taskgrove.v1.Taskgrove/GetTask", "Bearer "+tt.token, `{"id":"amys"}`); got != tt.http || !strings.Contains(body, tt.text) {
			t.Errorf("%s by Connect: got HTTP %d %s", who, got, body)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+tt.token)
		if _, err := pb.NewTaskgroveClient(conn).GetTask(ctx, &pb.GetTaskRequest{Id: "amys"}); status.Code(err) != tt.code || err != nil && status.Convert(err).Message() != denied {
			t.Errorf("%s by gRPC: got %v", who, err)
		}
		if list, err := pb.NewTaskgroveClient(conn).ListTrees(ctx, &pb.ListTreesRequest{}); err != nil || (len(list.Trees) == 0) != (who == "another") {
			t.Errorf("%s by gRPC: got trees %v, %v", who, list, err)
		}
	}
}

// TestKeysOfTokens: what is wrong with a secret or a key stops the start, and is told by the name of its variable without itself.
func TestKeysOfTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", "a secret of thirty-two bytes, ok\n")
	for fact, tt := range map[string]struct {
		cfg  config.Auth
		want string // part of the error; empty: none
	}{
		"a file":                     {config.Auth{SecretFile: good}, ""},
		"no file":                    {config.Auth{SecretFile: filepath.Join(dir, "none")}, "TASKGROVE_JWT_SECRET_FILE"},
		"an empty file":              {config.Auth{SecretFile: file("empty", "\n")}, "TASKGROVE_JWT_SECRET_FILE"},
		"a directory":                {config.Auth{SecretFile: dir}, "TASKGROVE_JWT_SECRET_FILE"},
		"a large file":               {config.Auth{SecretFile: file("large", strings.Repeat("x", 1<<20))}, "TASKGROVE_JWT_SECRET_FILE"},
		"a short secret":             {config.Auth{Secret: "SHOWN"}, "TASKGROVE_JWT_SECRET: "},
		"a secret and no public key": {config.Auth{Secret: "SHOWN, though long enough to be one", Algorithm: "RS256"}, "TASKGROVE_JWT_SECRET: "},
		"a short older one":          {config.Auth{SecretFile: good, OldSecret: "SHOWN"}, "TASKGROVE_JWT_OLD_SECRET: "},
	} {
		if tt.cfg.Algorithm == "" {
			tt.cfg.Algorithm = "HS256"
		}
		tokens, err := Tokens(&tt.cfg)
		switch {
		case tt.want == "" && (err != nil || tokens == nil):
			t.Errorf("%s: got %v", fact, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SHOWN")):
			t.Errorf("%s: got %v, want %s", fact, err, tt.want)
		}
	}
	if tokens, err := Tokens(&config.Auth{}); tokens != nil || err != nil {
		t.Errorf("without a secret: got %v, %v", tokens, err)
	}
}
