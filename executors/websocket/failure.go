package websocket

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/executors"
)

// closedError reports that the server ended the connection.
type closedError struct {
	code   websocket.StatusCode
	reason string
}

// Error is the text of spec 8.6.
func (e *closedError) Error() string {
	text := fmt.Sprintf("Connection closed: %d", e.code)
	if name, ok := closeNames[e.code]; ok {
		text += " (" + name + ")"
	}
	if e.reason != "" {
		text += ": " + e.reason
	}
	return text
}

// closeNames are the meanings of RFC 6455 7.4 and the registry of IANA.
var closeNames = map[websocket.StatusCode]string{
	1000: "OK", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "no status received", 1006: "abnormal closure",
	1007: "invalid frame payload data", 1008: "policy violation", 1009: "message too big", 1010: "mandatory extension", 1011: "internal error",
	1012: "service restart", 1013: "try again later", 1014: "bad gateway", 3000: "unauthorized", 3003: "forbidden", 3008: "timeout",
}

// final reports whether the server would close the connection of another attempt for the same reason. Of the codes 4400 to 4499, which servers
// make up after those of HTTP, those are not final that are not there either.
func (e *closedError) final() bool {
	switch e.code {
	case 1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003:
		return true
	case 4408, 4409, 4425, 4429:
		return false
	}
	return e.code >= 4400 && e.code < 4500
}

// failure makes the error of an attempt: classed, without secrets, and with the object of spec 8.6 as its detail.
func (p *plan) failure(ctx context.Context, err error) error {
	closed, _ := errors.AsType[*closedError](err)
	dialled, _ := errors.AsType[*dialError](err)
	if ctx.Err() != nil {
		err = executors.Ended(ctx, err)
		for _, outside := range []error{executors.ErrCancelled, executors.ErrTimeout, executors.ErrDraining, executors.ErrLeaseLost} {
			if errors.Is(err, outside) {
				return err
			}
		}
		if rest, ok := strings.CutPrefix(err.Error(), "Response timeout"); ok && dialled != nil {
			err = executors.WithKind(errors.New("Connection timeout"+rest), executors.KindTimeout) //nolint:staticcheck // the text of spec 8.6
		}
	}
	text := executors.Text([]byte(p.headers.Mask(cut(err.Error(), 2<<10))))
	kind := executors.KindOf(err)
	if kind == "" {
		kind = executors.KindConnect
	}
	masked := executors.WithKind(executors.WithDetail(errors.New(text), p.detail(text, closed)), kind)
	if executors.IsPermanent(err) || closed != nil && closed.final() {
		return executors.Permanent(masked)
	}
	return executors.RetryAfter(masked, executors.RetryAfterOf(err))
}

// detail is the object that the protocol's other servers have as a result (spec 8.6).
func (p *plan) detail(text string, closed *closedError) string {
	object := map[string]any{"success": false, "error": text, "url": p.shown}
	if closed != nil {
		object["code"], object["reason"] = closed.code, p.headers.Mask(closed.reason)
	}
	detail, _ := json.Marshal(object) // texts and numbers
	return string(detail)
}

func encoded(raw []byte) []byte {
	return base64.StdEncoding.AppendEncode(nil, raw)
}

// cut bounds a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
