package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// catalogueOf is what the service in memory knows of executors.
var catalogueOf = []coordinator.Executor{
	{
		ID: "fetch_executor", Type: "http", Name: "Fetch", Description: "Fetches what a task names", Tags: []string{"http", "fetch"},
		Inputs: json.RawMessage(`{"type":"object","properties":{"url":{"type":"string"}},"required":["url"]}`), Output: json.RawMessage(`{"type":"string"}`),
		Cancelable: true, Repeatable: true, Secrets: true, Timeout: 1500 * time.Millisecond,
		Connection: &coordinator.ConnectionUse{Types: []string{"http"}, Fields: []string{"url", "auth"}},
		Examples: []coordinator.ExecutorExample{{Title: "Fetch a page", Inputs: json.RawMessage(`{"url":"https://example.org"}`),
			Params: json.RawMessage(`{"p":1}`), Schemas: json.RawMessage(`{"model":"m"}`)}},
		BuiltIn: true, Pools: []string{"fetch_executor", "gpu"}, Workers: 3, Differs: "1 of 3 live workers describe other inputs",
	},
	{ID: HandExecutor, Type: "test", Name: "By hand", Description: "Ends as it is told", Workers: 1, Pools: []string{HandExecutor}},
	{ID: "unheard_executor"},
}

// Executors shows one executor a page.
func (s *Service) Executors(_ context.Context, cursor string) (page coordinator.Page[*coordinator.Executor], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Executors"); err != nil {
		return page, err
	}
	for i, e := range catalogueOf {
		if e.ID > cursor {
			page.Items = []*coordinator.Executor{&e}
			if i+1 < len(catalogueOf) {
				page.Next = e.ID
			}
			break
		}
	}
	return page, nil
}

// Executor shows one executor.
func (s *Service) Executor(_ context.Context, id string) (*coordinator.Executor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Executor"); err != nil {
		return nil, err
	}
	for _, e := range catalogueOf {
		if e.ID == id || e.ID == id+"_executor" {
			return &e, nil
		}
	}
	return nil, fmt.Errorf("executor %s: %w", id, coordinator.ErrNotFound)
}

// catalogue are all executors that a service shows.
func catalogue(s *site, svc coordinator.Service) (all []*coordinator.Executor) {
	for cursor := ""; ; {
		page, err := svc.Executors(s.Context(), cursor)
		page = must(s, page, err)
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// shownAs is an executor as a text; lists that are empty and lists that are absent are the same.
func shownAs(e *coordinator.Executor) string {
	one := *e
	one.Tags, one.Pools, one.Examples = append([]string{}, e.Tags...), append([]string{}, e.Pools...), append([]coordinator.ExecutorExample{}, e.Examples...)
	for _, text := range []*json.RawMessage{&one.Inputs, &one.Output} {
		var compact bytes.Buffer
		if len(*text) == 0 || json.Compact(&compact, *text) != nil {
			compact.Reset()
			compact.WriteString("null")
		}
		*text = compact.Bytes()
	}
	text, _ := json.Marshal(one)
	return string(text)
}

// cataloguing are the scenarios of executors.
var cataloguing = map[string]func(*site){
	"executors are listed": func(s *site) {
		s.has("Executors")
		got, want := catalogue(s, s.svc), catalogue(s, s.backend)
		if len(got) != len(want) || len(got) == 0 {
			s.Fatalf("got %d executors, want %d", len(got), len(want))
		}
		for i := range got {
			if got, want := shownAs(got[i]), shownAs(want[i]); got != want {
				s.Errorf("got  %s\nwant %s", got, want)
			}
		}
		if !slices.ContainsFunc(got, func(e *coordinator.Executor) bool { return e.ID == HandExecutor }) {
			s.Errorf("%s is not listed", HandExecutor)
		}
		if !slices.IsSortedFunc(got, func(a, b *coordinator.Executor) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) }) {
			s.Error("they are not in order")
		}
	},
	"an executor is shown": func(s *site) {
		s.has("Executor")
		for _, e := range catalogue(s, s.backend) {
			got, err := s.svc.Executor(s.Context(), e.ID)
			if got, want := shownAs(must(s, got, err)), shownAs(e); got != want {
				s.Errorf("got  %s\nwant %s", got, want)
			}
		}
		if got, err := s.svc.Executor(s.Context(), "hand"); must(s, got, err).ID != HandExecutor {
			s.Errorf("hand is %s", got.ID)
		}
		_, err := s.svc.Executor(s.Context(), "nobody's")
		s.wantFault("an executor that there is not", err, api.NotFound)
	},
}
