package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	sdkjson "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
)

// codeDenied is the code of what a caller may not do, as in the task-tree protocol (spec 5.6).
const codeDenied = -32001

// readResource reads task://ID or tasks://?QUERY (spec 7).
func (h *Handler) readResource(ctx context.Context, req *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
	a, asked, cancel := begun(ctx, req.Extra)
	if a == nil {
		return nil, &sdkjson.Error{Code: sdkjson.CodeInternalError, Message: "the request has no caller"}
	}
	defer cancel()
	uri, _ := ctx.Value(wanted{}).(string)
	call, err := resourceCall(uri)
	if err != nil {
		return nil, err
	}
	got, fault := h.calls.Call(asked, a.svc, call)
	switch {
	case fault != nil && fault.Kind == api.NotFound, fault == nil && got.Result == nil:
		return nil, notFound(req.Session, uri)
	case fault != nil && (fault.Kind == api.Invalid || fault.Kind == api.Conflict):
		return nil, invalidParams(fault.Text)
	case fault != nil && (fault.Kind == api.Denied || fault.Kind == api.Unauthenticated):
		return nil, &sdkjson.Error{Code: codeDenied, Message: fault.Text}
	case fault != nil:
		return nil, &sdkjson.Error{Code: sdkjson.CodeInternalError, Message: fault.Text}
	}
	value, _ := fit(got.Result, h.cfg.AnswerBytes)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, value, "", "  "); err != nil {
		return nil, &sdkjson.Error{Code: sdkjson.CodeInternalError, Message: api.Classify(asked, h.cfg.Log, "read resource", err).Text}
	}
	return &sdk.ReadResourceResult{
		Cacheable: sdk.Cacheable{CacheScope: "private"},
		Contents:  []*sdk.ResourceContents{{URI: uri, MIMEType: "application/json", Text: pretty.String()}},
	}, nil
}

// maxURI bounds what a client calls a resource.
const maxURI = 4096

// resourceCall is the call that answers for a resource.
func resourceCall(uri string) (jsonrpc.Call, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	switch {
	case len(uri) > maxURI:
		return jsonrpc.Call{}, invalidParams("Invalid task URI: " + shortened(uri) + ". It has more than " + strconv.Itoa(maxURI) + " bytes")
	case scheme == "task":
		id, err := url.PathUnescape(rest)
		if err != nil {
			id = rest // an id may hold a percent sign
		}
		if id == "" {
			return jsonrpc.Call{}, invalidParams("Invalid task URI: " + uri + ". Expected task://ID")
		}
		return jsonrpc.Call{Method: "tasks.get", Params: must(members{{"task_id", id}})}, nil
	case scheme == "tasks":
		return listCall(uri, rest)
	}
	if !strings.Contains(uri, "://") {
		scheme, _, _ = strings.Cut(uri, ":")
	}
	return jsonrpc.Call{}, invalidParams("Unsupported resource scheme: " + shortened(scheme) + ". Supported are task://ID and tasks://")
}

// listCall reads the query of tasks://.
func listCall(uri, rest string) (jsonrpc.Call, error) {
	path, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil || strings.Trim(path, "/") != "" {
		return jsonrpc.Call{}, invalidParams("Invalid task URI: " + shortened(uri) + ". Expected tasks://?status=STATUS&limit=N&offset=N")
	}
	params := members{}
	for _, name := range []string{"status", "limit", "offset"} {
		value := values.Get(name)
		if value == "" {
			continue
		}
		if name == "status" {
			if value == "running" {
				value = "in_progress"
			}
			params = append(params, member{name, value})
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return jsonrpc.Call{}, invalidParams("Invalid task URI: " + shortened(uri) + ". " + name + " must be a number")
		}
		params = append(params, member{name, n})
	}
	for name := range values {
		if !slices.Contains([]string{"status", "limit", "offset"}, name) {
			return jsonrpc.Call{}, invalidParams("Invalid task URI: " + shortened(uri) + ". The query takes status, limit and offset")
		}
	}
	return jsonrpc.Call{Method: "tasks.list", Params: must(params)}, nil
}

// notFound is the error for a resource that there is not. Its code changed with protocol 2026-07-28.
func notFound(session *sdk.ServerSession, uri string) error {
	code := int64(-32002)
	if session == nil || session.InitializeParams() == nil || session.InitializeParams().ProtocolVersion >= stateless20260728 {
		code = sdkjson.CodeInvalidParams
	}
	return &sdkjson.Error{Code: code, Message: "Resource not found", Data: must(members{{"uri", uri}})}
}
