package doctor

import (
	"fmt"
	"time"
)

// Artifacts are the facts of the store of artifacts.
type Artifacts struct {
	Where   string        // people's words for it
	Err     error         // it does not answer, or there is no bucket
	Lost    error         // what was looked for is not there
	Used    int64         // bytes; -1: it can't tell
	Most    int64         // bytes; 0: it has no bound that it knows
	Overdue time.Duration // for how long contents have not been deleted that nothing refers to
}

// sweepLate is for how long a content may be left that is due to be deleted: coordinators look once a minute.
const sweepLate = time.Hour

// JudgeArtifacts judges the store of artifacts.
func JudgeArtifacts(a *Artifacts) (out []Finding) {
	switch {
	case a.Err != nil:
		out = append(out, find(ArtifactStore, Problem, "", fmt.Sprintf("%s can't be used: %s", a.Where, cleaned(a.Err.Error()))))
	case a.Lost != nil:
		out = append(out, find(ArtifactStore, Problem, "", fmt.Sprintf("%s lacks a content that tasks have: %s", a.Where, cleaned(a.Lost.Error()))))
	case a.Used >= 0 && a.Most > 0 && a.Used*100/a.Most >= fullWarning:
		severity := Warning
		if a.Used*100/a.Most >= fullProblem {
			severity = Problem
		}
		out = append(out, find(ArtifactStore, severity, "", fmt.Sprintf("%s has %s of %s", a.Where, size(a.Used), size(a.Most))))
	}
	if a.Err == nil && a.Overdue > sweepLate {
		out = append(out, find(ArtifactStore, Warning, "", fmt.Sprintf("contents that nothing refers to are not deleted from %s: the first is due for %s", a.Where, a.Overdue.Round(time.Minute)),
			"Look in the logs of coordinators for: contents that nothing refers to are not deleted"))
	}
	if len(out) == 0 {
		out = append(out, find(ArtifactStore, OK, "", a.Where+" answers"))
	}
	return out
}
