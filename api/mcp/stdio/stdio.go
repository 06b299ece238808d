// Package stdio gives a host that starts programs the tools of a coordinator: it speaks the Model Context Protocol over pipes, and hands each
// request on to the coordinator's /mcp.
//
// It owns the two protocol versions that meet there, progress and cancellation on their way, and what becomes of a request when the coordinator does
// not answer. It must not know any tool: lists, schemas and texts are the coordinator's.
package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	sdkjson "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Config says between whom to carry. URL, In and Out are required.
type Config struct {
	URL     string // of /mcp
	Version string // of serverInfo
	In      io.ReadCloser
	Out     io.WriteCloser

	HTTP   *http.Client // default: http.DefaultClient
	Header http.Header  // goes with each request: X-LLM-API-KEY
	// Token is asked for each request and says who calls; nil, or an empty one: nobody says so.
	Token func() (string, error)
}

// maxLine bounds one message of the host: a little more than the coordinator takes.
const maxLine = 5 << 20

// Run carries until the host closes In, or ctx ends. A coordinator that is not there yet, or is gone for a while, does not end it.
func Run(ctx context.Context, cfg Config) error {
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	own := *cfg.HTTP
	own.Transport = &adding{header: cfg.Header, token: cfg.Token, next: own.Transport}
	cfg.HTTP = &own
	b := &bridge{cfg: cfg}
	defer b.leave(nil)
	host := sdk.NewServer(&sdk.Implementation{Name: "taskgrove", Title: "Taskgrove", Version: cfg.Version}, &sdk.ServerOptions{
		Logger: slog.New(slog.DiscardHandler),
		Capabilities: &sdk.ServerCapabilities{
			Tools: &sdk.ToolCapabilities{}, Resources: &sdk.ResourceCapabilities{}, Prompts: &sdk.PromptCapabilities{}, Completions: &sdk.CompletionCapabilities{},
		},
	})
	host.AddReceivingMiddleware(b.carry)
	err := host.Run(ctx, &sdk.IOTransport{Reader: cfg.In, Writer: cfg.Out, MaxLineLength: maxLine})
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return err
}

// adding puts headers on each request.
type adding struct {
	header http.Header
	token  func() (string, error)
	next   http.RoundTripper // nil: http.DefaultTransport
}

// RoundTrip implements [http.RoundTripper].
func (a *adding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range a.header {
		r.Header[name] = values
	}
	if a.token != nil {
		token, err := a.token()
		if err != nil {
			return nil, err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}
	if a.next == nil {
		return http.DefaultTransport.RoundTrip(r)
	}
	return a.next.RoundTrip(r)
}

// bridge hands the host's requests on.
type bridge struct {
	cfg Config

	mu      sync.Mutex // held while a connection is made, so that there is one
	session *sdk.ClientSession

	tokens   atomic.Int64
	progress sync.Map // by our token: func(*sdk.ProgressNotificationParams)
}

// coordinator is the connection to it, made when it is first needed.
func (b *bridge) coordinator(ctx context.Context) (*sdk.ClientSession, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil {
		return b.session, nil
	}
	client := sdk.NewClient(&sdk.Implementation{Name: "taskgrove mcp", Version: b.cfg.Version}, &sdk.ClientOptions{
		Logger: slog.New(slog.DiscardHandler),
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
			if tell, ok := b.progress.Load(fmt.Sprint(r.Params.ProgressToken)); ok {
				tell.(func(*sdk.ProgressNotificationParams))(r.Params)
			}
		},
	})
	session, err := client.Connect(ctx, &sdk.StreamableClientTransport{Endpoint: b.cfg.URL, HTTPClient: b.cfg.HTTP, MaxRetries: -1}, nil)
	if err != nil {
		return nil, err
	}
	b.session = session
	return session, nil
}

// leave gives up a connection that failed; nil: whichever there is.
func (b *bridge) leave(failed *sdk.ClientSession) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == nil || failed != nil && b.session != failed {
		return
	}
	_ = b.session.Close() // it failed, or nobody needs it any more
	b.session = nil
}

// carry hands on what is the coordinator's to answer.
func (b *bridge) carry(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
		ask, use := b.asking(ctx, req)
		if ask == nil {
			return next(ctx, method, req) // the host's own business: handshake, ping
		}
		result, err := b.try(ctx, ask, use)
		if err == nil {
			return result, nil
		}
		if answered := answered(err); answered != nil {
			return nil, answered
		}
		text := fmt.Sprintf("the coordinator at %s does not answer: %v", b.cfg.URL, err)
		if !use {
			return nil, &sdkjson.Error{Code: sdkjson.CodeInternalError, Message: text}
		}
		if !unsent(err) {
			text += ". What was asked may have been done: look before you ask again"
		}
		return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: text}}}, nil
	}
}

// ask is a request of the host, made of the coordinator.
type ask func(*sdk.ClientSession) (sdk.Result, error)

// try asks, and once more by another connection if the first failed and nothing can be done twice by that.
func (b *bridge) try(ctx context.Context, do ask, use bool) (sdk.Result, error) {
	for again := false; ; again = true {
		session, err := b.coordinator(ctx)
		if err != nil {
			return nil, err
		}
		result, err := do(session)
		if err == nil {
			return result, nil
		}
		if answered(err) != nil || ctx.Err() != nil {
			return nil, err
		}
		b.leave(session)
		if again || use && !unsent(err) {
			return nil, err
		}
	}
}

// answered is the error that the coordinator answered with; nil if it did not answer.
func answered(err error) *sdkjson.Error {
	switch e := err.(type) { //nolint:errorlint // each of the chain is looked at
	case *sdkjson.Error:
		if e.Code != rejected {
			return e
		}
	case interface{ Unwrap() error }:
		return answered(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if found := answered(one); found != nil {
				return found
			}
		}
	}
	return nil
}

// rejected is the code by which the SDK marks what could not be sent, or was refused by HTTP.
const rejected = -32005

// unsent reports whether a request surely did not reach a coordinator that took it.
func unsent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	return errors.Is(err, sdk.ErrSessionMissing)
}

// asking is how a request is made of the coordinator; nil if it is none for it. use tells that it uses a tool. What the host says of itself
// (_meta) stays here: its protocol version need not be that of the other connection.
func (b *bridge) asking(ctx context.Context, req sdk.Request) (do ask, use bool) {
	if call, ok := req.(*sdk.CallToolRequest); ok {
		return func(s *sdk.ClientSession) (sdk.Result, error) { return b.use(ctx, s, call) }, true
	}
	if params := req.GetParams(); params != nil && !reflect.ValueOf(params).IsNil() {
		params.SetMeta(nil)
	}
	switch r := req.(type) {
	case *sdk.ListToolsRequest:
		return func(s *sdk.ClientSession) (sdk.Result, error) { return s.ListTools(ctx, r.Params) }, false
	case *sdk.ListResourcesRequest:
		return func(s *sdk.ClientSession) (sdk.Result, error) { return s.ListResources(ctx, r.Params) }, false
	case *sdk.ListResourceTemplatesRequest:
		return func(s *sdk.ClientSession) (sdk.Result, error) { return s.ListResourceTemplates(ctx, r.Params) }, false
	case *sdk.ReadResourceRequest:
		return func(s *sdk.ClientSession) (sdk.Result, error) { return s.ReadResource(ctx, r.Params) }, false
	case *sdk.ListPromptsRequest:
		return func(s *sdk.ClientSession) (sdk.Result, error) { return s.ListPrompts(ctx, r.Params) }, false
	case *sdk.GetPromptRequest:
		return func(s *sdk.ClientSession) (sdk.Result, error) { return s.GetPrompt(ctx, r.Params) }, false
	case *sdk.CompleteRequest:
		return func(s *sdk.ClientSession) (sdk.Result, error) { return s.Complete(ctx, r.Params) }, false
	}
	return nil, false
}

// late is how long the last words about a call may come after its result.
const late = 10 * time.Millisecond

// use uses a tool, and tells the host what the coordinator tells of its progress.
func (b *bridge) use(ctx context.Context, s *sdk.ClientSession, r *sdk.CallToolRequest) (sdk.Result, error) {
	params := &sdk.CallToolParams{Name: r.Params.Name}
	if len(r.Params.Arguments) > 0 {
		params.Arguments = r.Params.Arguments
	}
	if theirs := r.Params.GetProgressToken(); theirs != nil {
		ours := "p" + strconv.FormatInt(b.tokens.Add(1), 10)
		params.SetProgressToken(ours)
		b.progress.Store(ours, func(p *sdk.ProgressNotificationParams) {
			told := *p
			told.ProgressToken, told.Meta = theirs, nil
			_ = r.Session.NotifyProgress(ctx, &told) // whether it arrives makes no difference to the call
		})
		defer b.progress.Delete(ours)
		defer time.Sleep(late) // the SDK may hand out what came before the result after it
	}
	return s.CallTool(ctx, params)
}
