package apitest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// kept is an artifact with its content.
type kept struct {
	coordinator.Artifact
	data []byte
}

// Keep makes an artifact of a task's attempt.
func (s *Service) Keep(id, name, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	sum := sha256.Sum256([]byte(content))
	t.artifacts = append(t.artifacts, kept{coordinator.Artifact{Name: name, TaskID: t.ID, TaskName: t.Name, Attempt: t.Attempt, Kind: coordinator.FileArtifact,
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)), MediaType: "text/plain", Created: t.CreatedAt}, []byte(content)})
}

// Artifacts lists all artifacts of a task or a tree in one page.
func (s *Service) Artifacts(_ context.Context, f coordinator.ArtifactFilter) (page coordinator.Page[*coordinator.Artifact], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks[f.TaskID]
	if !ok {
		return page, fmt.Errorf("artifacts of %s: %w", f.TaskID, coordinator.ErrNotFound)
	}
	from := []*task{t}
	if f.Tree {
		from = t.tree.tasks
	}
	for _, t := range from {
		for i := range t.artifacts {
			page.Items = append(page.Items, &t.artifacts[i].Artifact)
		}
	}
	return page, nil
}

// OpenArtifact reads the last one of the name.
func (s *Service) OpenArtifact(_ context.Context, q coordinator.ArtifactQuery) (*coordinator.OpenedArtifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *kept
	if t, ok := s.tasks[q.TaskID]; ok {
		for i := range t.artifacts {
			if a := &t.artifacts[i]; a.Name == q.Name && (q.Attempt == 0 || q.Attempt == a.Attempt) {
				found = a
			}
		}
	}
	switch {
	case q.Name == "":
		return nil, &coordinator.InvalidArgumentError{Field: "name", Reason: "is required"}
	case found == nil:
		return nil, fmt.Errorf("artifact %s of %s: %w", q.Name, q.TaskID, coordinator.ErrNotFound)
	case q.Offset < 0 || q.Offset > found.Size:
		return nil, &coordinator.InvalidArgumentError{Field: "offset", Reason: "is behind the end"}
	}
	return &coordinator.OpenedArtifact{Artifact: found.Artifact, ReadCloser: io.NopCloser(bytes.NewReader(found.data[q.Offset:]))}, nil
}

// fetching are the scenarios of [coordinator.Reader.Artifacts] and OpenArtifact.
var fetching = map[string]func(*site){
	"artifacts are listed and read": func(s *site) {
		keeper := s.keeper()
		s.submit(coordinator.SubmitOptions{}, s.task("root", "", "b"), s.task("a", "root"), s.task("b", "root", "a"))
		for _, name := range []string{"a", "b"} {
			s.backend.Start(s.id(name))
			keeper.Keep(s.id(name), "out/"+name+".csv", "content of "+name)
			s.backend.Complete(s.id(name), `{}`)
		}
		page, err := s.svc.Artifacts(s.Context(), coordinator.ArtifactFilter{TaskID: s.id("a")})
		if page = must(s, page, err); len(page.Items) != 1 || page.Items[0].Name != "out/a.csv" || page.Items[0].Size != 12 || page.Items[0].TaskID != s.id("a") ||
			page.Items[0].Attempt != 1 || page.Items[0].Kind != coordinator.FileArtifact || len(page.Items[0].SHA256) != 64 || page.Items[0].MediaType != "text/plain" {
			s.Errorf("of a task: got %+v", page.Items)
		}
		page, err = s.svc.Artifacts(s.Context(), coordinator.ArtifactFilter{TaskID: s.id("b"), Tree: true})
		if page = must(s, page, err); len(page.Items) != 2 || page.Items[1].Name != "out/b.csv" {
			s.Errorf("of the tree: got %d", len(page.Items))
		}
		for _, q := range []coordinator.ArtifactQuery{{Offset: 0}, {Offset: 8}, {Attempt: 1}, {Offset: 12}} {
			q.TaskID, q.Name = s.id("b"), "out/b.csv"
			opened, err := s.svc.OpenArtifact(s.Context(), q)
			got, err := io.ReadAll(must(s, opened, err))
			_ = opened.Close()
			if want := "content of b"[q.Offset:]; err != nil || string(got) != want || opened.Size != 12 {
				s.Errorf("%+v: got %q, %v, want %q", q, got, err, want)
			}
		}
	},
	"artifacts refuse what is not there": func(s *site) {
		s.has("Artifacts")
		s.has("OpenArtifact")
		id := s.start("root")
		_, err := s.svc.Artifacts(s.Context(), coordinator.ArtifactFilter{TaskID: "nobody"})
		s.wantFault("a task", err, api.NotFound)
		for what, q := range map[string]coordinator.ArtifactQuery{"a name": {TaskID: id, Name: "none"}, "an artifact's task": {TaskID: "nobody", Name: "none"}} {
			_, err := s.svc.OpenArtifact(s.Context(), q)
			s.wantFault(what, err, api.NotFound)
		}
	},
}

// keeper is a backend whose attempts make artifacts; the scenario is skipped when it has none, or the surface no artifacts.
func (s *site) keeper() interface {
	Keep(id, name, content string)
} {
	s.Helper()
	s.has("Artifacts")
	s.has("OpenArtifact")
	keeper, ok := s.backend.(interface {
		Keep(id, name, content string)
	})
	if !ok {
		s.Skip("the backend makes no artifacts")
	}
	return keeper
}
