package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Bounds of what is resident during each attack, in MiB: of the process that holds coordinator, worker and NATS, and of
// the worker in a process of its own.
const (
	devMemory    = 512
	workerMemory = 128
)

// crowd is how many connections an attacker opens at once.
const crowd = 300

// attack does its worst until ctx ends or it is done, and says what the server did wrong.
type attack func(ctx context.Context, address string) error

// TestPorts attacks every port of real processes. Each attack ends in a clear error or a closed connection; meanwhile an
// honest client is served, and memory is bounded.
func TestPorts(t *testing.T) {
	t.Parallel()
	c := startProgram(t)
	must(t, c.honest(t.Context()))
	host := func(raw string) string {
		u, err := url.Parse(raw)
		must(t, err)
		return u.Host
	}
	ports := map[string]string{"http": host(c.dev.HTTP), "grpc": c.dev.GRPC, "nats": host(c.dev.NATS), "worker": host(c.worker.HTTP)}
	for _, row := range []struct {
		fact   string
		ports  []string
		attack attack
	}{
		{"garbage", []string{"http", "grpc", "nats", "worker"}, garbage},
		{"a TLS hello", []string{"http", "grpc", "nats", "worker"}, hello},
		{"half-closed", []string{"http", "grpc", "nats", "worker"}, halfClosed},
		{"slow first bytes", []string{"http", "grpc", "nats", "worker"}, slowStart},
		{"idle connections", []string{"http", "grpc", "nats", "worker"}, idle},
		{"a slow body", []string{"http", "worker"}, slowBody},
		{"deeply nested JSON", []string{"http"}, nested},
		{"too large", []string{"http"}, oversized},
		{"event streams that nobody reads", []string{"http"}, c.deafReaders},
		{"messages too large", []string{"grpc"}, oversizedMessages},
		{"streams reset at once", []string{"grpc"}, rapidReset},
		{"streams that stall", []string{"grpc"}, stalledStreams},
		{"a line without end", []string{"nats"}, endlessLine},
	} {
		for _, port := range row.ports {
			t.Run(row.fact+" on "+port, func(t *testing.T) {
				c.dev.forget()
				c.worker.forget()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				var attackers sync.WaitGroup
				var found error
				attackers.Go(func() { found = row.attack(ctx, ports[port]) })
				began := time.Now()
				for range 3 {
					if err := c.honest(ctx); err != nil {
						t.Error(err)
					}
				}
				served := time.Since(began)
				attackers.Wait()
				if found != nil {
					t.Error(found)
				}
				for p, most := range map[*child]int{c.dev: devMemory, c.worker: workerMemory} {
					if got, err := p.memory(); err != nil || got > most {
						t.Errorf("%s: %d MiB resident, %v; want at most %d", p.name, got, err, most)
					} else {
						t.Logf("%s: %d MiB; 3 honest trees in %s", p.name, got, served.Round(time.Millisecond))
					}
				}
			})
		}
	}
}

// each runs f over so many connections at once and answers the first error.
func each(ctx context.Context, address string, connections int, f func(net.Conn) error) error {
	errs := make(chan error, connections)
	for range connections {
		go func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err == nil {
				end, _ := ctx.Deadline()
				_ = conn.SetDeadline(end)
				err = f(conn)
				_ = conn.Close()
			}
			errs <- err
		}()
	}
	var first error
	for range connections {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// ended waits until the server closes the connection.
func ended(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection was never closed")
	}
	return nil
}

func garbage(ctx context.Context, address string) error {
	return each(ctx, address, 50, func(conn net.Conn) error {
		junk := make([]byte, 256<<10)
		for i := range junk {
			junk[i] = byte(rand.Uint32())
		}
		_, _ = conn.Write(junk) // may be closed halfway
		_ = conn.(*net.TCPConn).CloseWrite()
		return ended(conn)
	})
}

func hello(ctx context.Context, address string) error {
	return each(ctx, address, 20, func(conn net.Conn) error {
		err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("handshake: got %v, want a refusal", err)
		}
		return nil
	})
}

func halfClosed(ctx context.Context, address string) error {
	return each(ctx, address, crowd, func(conn net.Conn) error {
		_, _ = io.WriteString(conn, "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
		_ = conn.(*net.TCPConn).CloseWrite()
		return ended(conn)
	})
}

// drip sends text and then a byte of filler at a time until the server closes the connection.
func drip(ctx context.Context, conn net.Conn, text string, filler byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the connection or ctx
		_, _ = io.WriteString(conn, text)
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if _, err := conn.Write([]byte{filler}); err != nil {
					return
				}
			}
		}
	}()
	return ended(conn)
}

func slowStart(ctx context.Context, address string) error {
	return each(ctx, address, crowd, func(conn net.Conn) error { return drip(ctx, conn, "P", 'R') })
}

// slowBody announces the largest body and sends none of it to speak of: that must not take others' share. Bodies may take
// minutes, so that it goes away by itself.
func slowBody(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := each(ctx, address, crowd, func(conn net.Conn) error {
		_ = drip(ctx, conn, "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108864\r\n\r\n{", ' ')
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// idle connections may stay for a while; the honest are served beside them.
func idle(ctx context.Context, address string) error {
	return each(ctx, address, 2*crowd, func(conn net.Conn) error {
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
		return nil
	})
}

// post sends a body to the path and wants one of the statuses, with the text in the answer.
func post(ctx context.Context, address, path string, header http.Header, body io.Reader, text string, statuses ...int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, body)
	if err != nil {
		return err
	}
	if header != nil {
		r.Header = header
	}
	answer, err := client.Do(r)
	if err != nil { // the server may close while the rest is being sent
		if ctx.Err() != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		return nil
	}
	defer answer.Body.Close()
	got, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if !slices.Contains(statuses, answer.StatusCode) || !bytes.Contains(got, []byte(text)) {
		return fmt.Errorf("got %s: %s; want %v: %s", answer.Status, got, statuses, text)
	}
	return nil
}

func nested(ctx context.Context, address string) error {
	for _, depth := range []int{257, 10_000, 1_000_000} {
		for _, open := range []string{"[", `{"a":`} {
			shut := map[string]string{"[": "]", `{"a":`: "}"}[open]
			deep := strings.Repeat(open, depth) + "1" + strings.Repeat(shut, depth)
			for _, body := range []string{deep, `{"method":"tasks.create","params":{"tasks":[{"name":"a","inputs":{"x":` + deep + `}}]}}`, strings.Repeat(open, depth)} {
				if err := post(ctx, address, "/tasks", nil, strings.NewReader(body), "nested deeper", 200, 400); err != nil {
					return fmt.Errorf("depth %d: %w", depth, err)
				}
			}
		}
	}
	return nil
}

func oversized(ctx context.Context, address string) error {
	for range 4 {
		if err := post(ctx, address, "/tasks", nil, io.LimitReader(zeros{}, 100<<20), "larger than", 413); err != nil {
			return fmt.Errorf("body of 100 MiB: %w", err)
		}
	}
	if err := post(ctx, address, "/tasks", http.Header{"X-Large": {strings.Repeat("x", 1<<20)}}, nil, "", 431); err != nil {
		return fmt.Errorf("headers of 1 MiB: %w", err)
	}
	if err := post(ctx, address, "/tasks?"+strings.Repeat("x", 1<<20), nil, nil, "", 431, 414); err != nil {
		return fmt.Errorf("address of 1 MiB: %w", err)
	}
	return each(ctx, address, 20, func(conn net.Conn) error {
		_, _ = io.WriteString(conn, "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1099511627776\r\n\r\n")
		return ended(conn)
	})
}

type zeros struct{}

// Read gives zeros without end.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// deafReaders ask for a tree's events with tiny windows and read none.
func (c *program) deafReaders(ctx context.Context, address string) error {
	tasks := []string{`{"id":"loud","name":"loud","schemas":{"method":"noop_executor"}}`}
	for i := range 3000 {
		tasks = append(tasks, fmt.Sprintf(`{"id":"loud.%d","name":"x","parent_id":"loud","schemas":{"method":"noop_executor"},"inputs":{"value":%q}}`, i, strings.Repeat("x", 500)))
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"tasks":[` + strings.Join(tasks, ",") + `]}}`
	if err := post(ctx, address, "/tasks", nil, strings.NewReader(body), `"success":true`, 200); err != nil {
		return err
	}
	return each(ctx, address, crowd, func(conn net.Conn) error {
		_ = conn.(*net.TCPConn).SetReadBuffer(1024)
		_, _ = io.WriteString(conn, "GET /tasks/loud/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
		}
		return nil
	})
}

func dialGRPC(address string) (pb.TaskgroveClient, *grpc.ClientConn, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, nil, err
	}
	return pb.NewTaskgroveClient(conn), conn, nil
}

func oversizedMessages(ctx context.Context, address string) error {
	rpc, conn, err := dialGRPC(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for range 4 {
		stream, err := rpc.Submit(ctx)
		if err != nil {
			return err
		}
		_ = stream.Send(&pb.SubmitRequest{Tasks: []*pb.NewTask{{Id: "x", Name: "x", Inputs: make([]byte, 40<<20)}}})
		if _, err := stream.CloseAndRecv(); status.Code(err) != codes.ResourceExhausted {
			return fmt.Errorf("a message of 40 MiB: got %w", err)
		}
	}
	large := metadata.AppendToOutgoingContext(ctx, "large", strings.Repeat("x", 1<<20))
	if _, err := rpc.GetTask(large, &pb.GetTaskRequest{Id: "x"}); err == nil || status.Code(err) == codes.NotFound {
		return fmt.Errorf("metadata of 1 MiB: got %w", err)
	}
	return nil
}

// rapidReset opens streams and resets them at once, on a few connections.
func rapidReset(ctx context.Context, address string) error {
	return each(ctx, address, 4, func(conn net.Conn) error {
		go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
		_, _ = io.WriteString(conn, http2.ClientPreface)
		framer := http2.NewFramer(conn, nil)
		if err := framer.WriteSettings(); err != nil {
			return err
		}
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := range 20_000 {
			block.Reset()
			for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/taskgrove.v1.Taskgrove/Submit"}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
				_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
			}
			id := uint32(2*i + 1)
			if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}) != nil ||
				framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return nil // cut off: as good an answer as any
			}
		}
		return nil
	})
}

// stalledStreams opens more submissions than there may be, none of which sends anything.
func stalledStreams(ctx context.Context, address string) error {
	rpc, conn, err := dialGRPC(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	refused := make(chan error, 900)
	for range cap(refused) {
		go func() {
			stream, err := rpc.Submit(ctx)
			if err == nil {
				err = stream.RecvMsg(&pb.SubmitResponse{})
			}
			refused <- err
		}()
	}
	for range cap(refused) {
		if err := <-refused; err == nil || ctx.Err() != nil {
			return fmt.Errorf("a submission that sends nothing: got %w", err)
		}
	}
	return nil
}

func endlessLine(ctx context.Context, address string) error {
	return each(ctx, address, 50, func(conn net.Conn) error {
		_, _ = io.CopyN(conn, &letters{}, 16<<20)
		return ended(conn)
	})
}

type letters struct{}

// Read gives the beginning of a command that never ends.
func (*letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'S'
	}
	return len(p), nil
}
