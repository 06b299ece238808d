package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) Diagnose(ctx context.Context, _ *pb.DiagnoseRequest) (*pb.Diagnosis, error) {
	d, err := h.on(ctx).Diagnose(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.Diagnosis{Coordinator: d.Coordinator, Version: d.Version, At: stamp(d.At), Findings: convert(d.Findings, findingOf)}, nil
}

func findingOf(f coordinator.Finding) *pb.Finding {
	return &pb.Finding{Check: f.Check, Severity: string(f.Severity), Subject: f.Subject, Found: f.Found, Mend: f.Mend, Link: f.Link}
}
