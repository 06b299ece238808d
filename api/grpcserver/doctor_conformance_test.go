package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/doctor"
)

func (r *remote) Diagnose(ctx context.Context) (*coordinator.Diagnosis, error) {
	got, err := r.c.Diagnose(ctx)
	if err != nil {
		return nil, err
	}
	out := &coordinator.Diagnosis{Coordinator: got.Coordinator, Version: got.Version, At: got.At}
	for _, f := range got.Findings {
		one := coordinator.Finding{Check: f.Check, Subject: f.Subject, Found: f.Found, Mend: f.Mend, Link: f.Link}
		one.Severity = doctor.Severity(f.Severity)
		out.Findings = append(out.Findings, one)
	}
	return out, nil
}
