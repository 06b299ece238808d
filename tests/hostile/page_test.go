package hostile

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// TestAWebPage is a page of a stranger in the browser of somebody who runs dev with commands allowed. It tries to run a
// command through every port, by what a browser may send without asking first and by a name rebound to loopback. Nothing
// of it is stored; the same call by curl -d is.
func TestAWebPage(t *testing.T) {
	t.Parallel()
	c := startProgram(t, "TASKGROVE_COMMAND_ALLOW=true")
	file := filepath.Join(t.TempDir(), "ran")
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"wait":true,"tasks":[
		{"id":"page","name":"x","schemas":{"method":"command_executor"},"inputs":{"command":"touch %s"}}]}}`, file)
	host := func(raw string) string {
		u, err := url.Parse(raw)
		must(t, err)
		return u.Host
	}
	web := []http.Header{
		{"Origin": {"https://evil.example"}, "Content-Type": {"text/plain"}},
		{"Origin": {"https://evil.example"}, "Content-Type": {"application/json"}},
		{"Origin": {"null"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}},
		{"Origin": {c.dev.HTTP}, "Content-Type": {"text/plain"}, "Sec-Fetch-Site": {"same-origin"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"multipart/form-data"}},
	}
	for _, header := range web {
		for _, address := range []string{host(c.dev.HTTP), host(c.worker.HTTP)} {
			if got := browse(t, address, "", header, body); got != http.StatusForbidden && got != http.StatusUnsupportedMediaType {
				t.Errorf("%v: got HTTP %d", header, got)
			}
		}
		for _, address := range []string{c.dev.GRPC, host(c.dev.NATS)} { // they speak no HTTP/1.1
			if got := browse(t, address, "", header, body+"\r\nCONNECT {}\r\nPUB x 1\r\nx\r\n"); got == http.StatusOK {
				t.Errorf("%v at %s: got HTTP %d", header, address, got)
			}
		}
	}
	for _, address := range []string{host(c.dev.HTTP), host(c.worker.HTTP)} {
		_, port, _ := net.SplitHostPort(address)
		for _, name := range []string{"evil.example", "evil.example:" + port, "127.0.0.1.evil.example"} {
			header := http.Header{"Origin": {"http://" + name}, "Content-Type": {"application/json"}, "Sec-Fetch-Site": {"same-origin"}}
			if got := browse(t, address, name, header, body); got != http.StatusForbidden {
				t.Errorf("rebound as %s: got HTTP %d, want 403", name, got)
			}
		}
	}
	rpc, conn, err := dialGRPC(c.dev.GRPC)
	must(t, err)
	defer conn.Close()
	for _, header := range []string{"origin", "sec-fetch-site"} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), header, "https://evil.example")
		if _, err := rpc.ListTrees(ctx, &pb.ListTreesRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("gRPC with %s: got %v, want a refusal", header, err)
		}
	}
	if _, err := rpc.GetTask(t.Context(), &pb.GetTaskRequest{Id: "page"}); status.Code(err) != codes.NotFound {
		t.Errorf("the page's task: got %v, want none", err)
	}
	if got := browse(t, host(c.dev.HTTP), "", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body); got != http.StatusOK {
		t.Errorf("curl -d: got HTTP %d", got)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("curl -d: the command did not run: %v", err)
	}
}

// browse posts what a browser would, and answers the status; 0 when the answer is none of HTTP.
func browse(t *testing.T, address, name string, header http.Header, body string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/tasks", strings.NewReader(body))
	must(t, err)
	r.Host, r.Header = name, header
	res, err := client.Do(r)
	if ctx.Err() != nil {
		t.Errorf("%s: no answer", address)
	}
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}
