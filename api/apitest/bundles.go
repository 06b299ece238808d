package apitest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/executors/bundle"
)

// ApplyBundle keeps a version of a bundle.
func (s *Service) ApplyBundle(_ context.Context, spec coordinator.BundleSpec) (*coordinator.BundleInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("ApplyBundle"); err != nil {
		return nil, err
	}
	now := time.Now().Truncate(time.Microsecond)
	b := &coordinator.BundleInfo{ID: spec.ID, Fingerprint: spec.Fingerprint, Digest: bundle.Fingerprint(spec.Files), Source: spec.Source, UserID: spec.UserID, Files: len(spec.Files), Rules: spec.BundleRules}
	for _, f := range spec.Files {
		if b.Bytes += f.Size; !s.bundleFiles[f.SHA256] {
			b.Missing = append(b.Missing, f.SHA256)
		}
	}
	if b.Missing != nil {
		return b, nil
	}
	b.CreatedBy, b.CreatedAt, b.AppliedAt = coordinator.AnonymousName, now, now
	s.bundles = append([]*coordinator.BundleInfo{b}, s.bundles...)
	out := *b
	out.Fresh = true
	return &out, nil
}

// PutBundleFile keeps a content.
func (s *Service) PutBundleFile(_ context.Context, file coordinator.BundleFile) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("PutBundleFile"); err != nil {
		return "", err
	}
	if s.bundleFiles == nil {
		s.bundleFiles = map[string]bool{}
	}
	sum := sha256.Sum256(file.Data)
	digest := hex.EncodeToString(sum[:])
	s.bundleFiles[digest] = true
	return digest, nil
}

// Bundles lists versions.
func (s *Service) Bundles(_ context.Context, f coordinator.BundleFilter) (page coordinator.Page[*coordinator.BundleInfo], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Bundles"); err != nil {
		return page, err
	}
	for _, b := range s.bundles {
		if (f.ID == "" || f.ID == b.ID) && (f.UserID == "" || f.UserID == b.UserID) {
			page.Items = append(page.Items, b)
		}
	}
	return page, nil
}

// DeleteBundle deletes a bundle.
func (s *Service) DeleteBundle(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("DeleteBundle"); err != nil {
		return err
	}
	var left []*coordinator.BundleInfo
	for _, b := range s.bundles {
		if b.ID != id {
			left = append(left, b)
		}
	}
	if len(left) == len(s.bundles) {
		return coordinator.ErrNotFound
	}
	s.bundles = left
	return nil
}
