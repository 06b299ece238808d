package client

import (
	"fmt"
	"iter"

	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// document is a tree that is read and sent at the same time.
type document struct {
	timed  bool                 // the submission has a timeout of its own
	kept   bool                 // it has a retention of its own
	due    bool                 // it says by when the tree is due
	faults dag.InvalidTreeError // what is wrong with fields
}

// messages are the tasks as they are sent. After the first fault nothing is sent, and reading goes on for the others.
func (d *document) messages(tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*pb.NewTask, error] {
	return func(yield func(*pb.NewTask, error) bool) {
		for t, err := range tasks {
			if err == nil && t.TreeTimeout > 0 && !d.timed {
				err = fmt.Errorf("task %s: the tree's timeout must be given as an option, see WithTreeTimeout", t.Name)
			}
			if err == nil && t.Retention != 0 && !d.kept {
				err = fmt.Errorf("task %s: the tree's retention must be given as an option, see WithRetention", t.Name)
			}
			if err == nil && t.Due != nil && !d.due {
				err = fmt.Errorf("task %s: by when the tree is due must be given as an option, see WithDue", t.Name)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			d.collect(t.Faults)
			if len(d.faults.Problems) == 0 && !yield(messageOf(t), nil) {
				return
			}
		}
		if len(d.faults.Problems) > 0 {
			yield(nil, &d.faults)
		}
	}
}

func (d *document) collect(faults []*dag.InvalidTaskError) {
	for _, f := range faults {
		if len(d.faults.Problems) < dag.MaxProblems {
			d.faults.Problems = append(d.faults.Problems, f)
		} else {
			d.faults.More++
		}
	}
}
