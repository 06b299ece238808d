package client

import (
	"context"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Diagnosis is what a coordinator found out about its cluster.
type Diagnosis struct {
	Coordinator, Version string    // of the one that looked
	At                   time.Time // its clock, when it answered
	Findings             []Finding // the worst first
}

// Finding is what a check found. It holds nothing secret.
type Finding struct {
	Check    string   // id of the check
	Severity string   // ok, note, warning, problem
	Subject  string   // what it is about, where there are several; empty: the cluster
	Found    string   // one sentence
	Mend     []string // what to do, a step each
	Link     string   // page of the documentation
}

// Diagnose has a coordinator look at Postgres, NATS, coordinators, workers and pools. It takes seconds, at most half a minute.
func (c *Client) Diagnose(ctx context.Context) (*Diagnosis, error) {
	got, err := pb.NewDoctorServiceClient(c.conn).Diagnose(ctx, &pb.DiagnoseRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "diagnose the cluster")
	}
	out := &Diagnosis{Coordinator: got.Coordinator, Version: got.Version, At: at(got.At), Findings: make([]Finding, len(got.Findings))}
	for i, f := range got.Findings {
		out.Findings[i] = Finding{Check: f.Check, Severity: f.Severity, Subject: f.Subject, Found: f.Found, Mend: f.Mend, Link: f.Link}
	}
	return out, nil
}
