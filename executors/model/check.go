package model

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Bounds of a request.
const (
	maxModels = 16
	maxTools  = 512
)

var (
	toolName   = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}
)

// Check says what of a request is known to be wrong before any model is asked, all at once: a permanent error. It sends nothing.
func (s *Session) Check(ctx context.Context, r *Request) error {
	_, err := s.prepare(ctx, r)
	return err
}

// prepare finds the ways to the models of a request, and all that is wrong with it.
func (s *Session) prepare(ctx context.Context, r *Request) (routes []*route, err error) {
	faults := requestFaults(r)
	if len(r.Models) == 0 {
		faults = append(faults, "model is required")
	}
	if len(r.Models) > maxModels {
		return nil, s.invalid([]string{fmt.Sprintf("models: %d, the most is %d", len(r.Models), maxModels)})
	}
	for _, model := range r.Models {
		if model == "" || len(model) > 256 || strings.ContainsFunc(model, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			faults = append(faults, fmt.Sprintf("model: %.100q is no model's name", model))
			continue
		}
		route, err := s.route(ctx, model)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if _, ok := errors.AsType[*keyError](err); ok && !executors.IsPermanent(err) {
				return nil, err
			}
			faults = append(faults, err.Error())
			continue
		}
		routes = append(routes, route)
		faults = append(faults, route.wire.faults(r)...)
		if s.opts.Meter.Limits().Money > 0 {
			if _, ok := s.models.prices.Of(route.names()...); !ok {
				faults = append(faults, fmt.Sprintf("budget.money: model %s has no price, which the operator gives by TASKGROVE_PRICES_FILE", shown(model)))
			}
		}
	}
	if len(faults) > 0 {
		return nil, s.invalid(unique(faults))
	}
	return routes, nil
}

func unique(faults []string) (out []string) {
	for _, f := range faults {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

func requestFaults(r *Request) (faults []string) {
	if len(r.Messages) == 0 {
		faults = append(faults, "messages is empty")
	}
	for i := range r.Messages {
		faults = append(faults, messageFaults(fmt.Sprintf("messages[%d]", i), &r.Messages[i])...)
	}
	if len(r.Tools) > maxTools {
		faults = append(faults, fmt.Sprintf("tools: %d, the most is %d", len(r.Tools), maxTools))
	}
	names := map[string]bool{}
	for i, t := range r.Tools {
		at := fmt.Sprintf("tools[%d]", i)
		switch {
		case !toolName.MatchString(t.Name):
			faults = append(faults, fmt.Sprintf("%s: %.100q is no tool's name: 1 to 64 letters, digits, _ and -", at, t.Name))
		case names[t.Name]:
			faults = append(faults, fmt.Sprintf("%s: there is another tool %s", at, t.Name))
		}
		names[t.Name] = true
		if len(t.Schema) > 0 && (len(t.Schema) > maxSchema || t.Schema[0] != '{' || unmarshal(t.Schema, new(map[string]any)) != nil) {
			faults = append(faults, at+": its schema must be a JSON object of at most 64 KiB")
		}
	}
	switch r.ToolChoice {
	case "", "auto", "none":
	case "required":
		if len(r.Tools) == 0 {
			faults = append(faults, "tool_choice: there is no tool")
		}
	default:
		if !names[r.ToolChoice] {
			faults = append(faults, fmt.Sprintf("tool_choice: there is no tool %.100q", r.ToolChoice))
		}
	}
	if r.Schema != nil {
		for _, fault := range schemaFaults(r.Schema) {
			faults = append(faults, "output_schema: "+fault)
		}
	}
	if r.MaxTokens < 0 {
		faults = append(faults, "max_tokens must be above 0")
	}
	return faults
}

func messageFaults(at string, m *Message) (faults []string) {
	switch m.Role {
	case System, User, Assistant:
	case ToolRole:
		if m.CallID == "" {
			faults = append(faults, at+": a tool's answer needs the id of the call that it answers")
		}
	default:
		faults = append(faults, fmt.Sprintf("%s: role %.40q is not system, user, assistant or tool", at, m.Role))
	}
	for _, p := range m.Parts {
		switch {
		case p.Image == nil && p.ImageURL == "":
		case m.Role != User:
			faults = append(faults, at+": only the user shows images")
		case p.Image != nil && !slices.Contains(imageTypes, p.MediaType):
			faults = append(faults, fmt.Sprintf("%s: an image must be PNG, JPEG, GIF or WebP, and not %.60q", at, p.MediaType))
		case p.ImageURL != "":
			if u, err := url.Parse(p.ImageURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
				faults = append(faults, at+": the address of an image must begin with https:// or http://, or be a data URL")
			}
		}
	}
	return faults
}
