package api

import "github.com/taskgrove/taskgrove/coordinator"

// EventWords are the types of events as clients see them. A protocol that has other words for some says so itself. The start of
// an execution is told as progress, as the task-tree protocol does (spec 5.4).
var EventWords = map[coordinator.EventType]string{
	coordinator.EventExecution: "progress",
	coordinator.EventStart:     "task_start",
	coordinator.EventCompleted: "task_completed",
	coordinator.EventFailed:    "task_failed",
	coordinator.EventCancelled: "task_cancelled",
	coordinator.EventRetry:     "task_retry",
	coordinator.EventProgress:  "progress",
	coordinator.EventFinal:     "final",
	coordinator.EventSkipped:   "task_skipped",
	coordinator.EventExpanded:  "task_expanded",
	coordinator.EventAwaiting:  "task_awaiting",
	coordinator.EventRepeat:    "task_repeat",
	coordinator.EventSignal:    "task_signal",
	coordinator.EventLate:      "late",
}
