// Package schedulefile reads files of schedules, in JSON or YAML, and tells every fault of them by line and column.
//
// It owns the form of such a file. It must not know what a schedule may say, which package scheduledoc knows, or what becomes of it.
package schedulefile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Bounds of a file.
const (
	MaxBytes     = 16 << 20
	MaxSchedules = 1000
	maxFaults    = 50 // that are told; the rest is counted
)

// version is what the key taskgrove of a file says.
const version = 1

// File is a file of schedules.
type File struct {
	Schedules []*scheduledoc.Spec

	source *treefile.File
}

// Read reads the text of a file, {taskgrove: 1, schedules: […]}, and all that can be known of its schedules without a cluster. name is what faults call the file, which are a
// [treefile.Error].
func Read(name string, text []byte) (*File, error) {
	if len(text) > MaxBytes {
		return nil, treefile.Refuse([]treefile.Fault{{Place: name, Text: fmt.Sprintf("larger than %d bytes", MaxBytes)}}, 0)
	}
	source, err := treefile.Decode(name, text)
	if err != nil {
		return nil, err
	}
	r := &reader{file: &File{source: source}, ids: map[string]int{}}
	r.read(source.JSON)
	if len(r.faults) > 0 {
		return nil, treefile.Refuse(r.faults, r.more)
	}
	return r.file, nil
}

// PathOf is what faults call a field of the i-th schedule.
func PathOf(i int, field string) string {
	if field == "" {
		return fmt.Sprintf("schedules[%d]", i)
	}
	return fmt.Sprintf("schedules[%d].%s", i, field)
}

// FaultOf is what is said of a field of the i-th schedule, where it stands.
func (f *File) FaultOf(i int, field, reason string) treefile.Fault {
	path := PathOf(i, field)
	return treefile.Fault{Place: f.source.PlaceIn(path), Text: path + ": " + reason}
}

// reader collects what a file says.
type reader struct {
	file   *File
	ids    map[string]int
	faults []treefile.Fault
	more   int
}

func (r *reader) fault(f treefile.Fault) {
	if len(r.faults) == maxFaults {
		r.more++
		return
	}
	r.faults = append(r.faults, f)
}

// at tells a fault of the file.
func (r *reader) at(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	r.fault(treefile.Fault{Place: r.file.source.PlaceIn(path), Text: text})
}

func (r *reader) read(text []byte) {
	var top map[string]json.RawMessage
	if err := jsonv2.Unmarshal(text, &top); err != nil || top == nil {
		r.at("", "must be an object with taskgrove: %d and schedules, each key once", version)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if name != "taskgrove" && name != "schedules" {
			r.at(name, "%s", unknown(name))
		}
	}
	if string(top["taskgrove"]) != fmt.Sprint(version) {
		r.at("taskgrove", "must be there, and %d: the version of the format", version)
	}
	var list []json.RawMessage
	switch err := json.Unmarshal(top["schedules"], &list); {
	case top["schedules"] == nil || err != nil || list == nil:
		r.at("schedules", "must be a list of schedules")
	case len(list) == 0:
		r.at("schedules", "must not be empty")
	case len(list) > MaxSchedules:
		r.at("schedules", "must be at most %d", MaxSchedules)
	default:
		for i, one := range list {
			r.schedule(i, one)
		}
	}
}

func (r *reader) schedule(i int, text json.RawMessage) {
	now := time.Now()
	spec, faults := scheduledoc.Decode(text)
	if len(faults) == 0 || faults[0].Field != "" {
		_, more := spec.Check(now, now)
		faults = scheduledoc.Join(faults, more)
	}
	for _, f := range faults {
		r.fault(r.file.FaultOf(i, f.Field, f.Reason))
	}
	if first, there := r.ids[spec.ID]; there && spec.ID != "" {
		r.fault(r.file.FaultOf(i, "id", fmt.Sprintf("%s has this id, too", PathOf(first, ""))))
	} else {
		r.ids[spec.ID] = i
	}
	r.file.Schedules = append(r.file.Schedules, spec)
}

// unknown says that there is no such key, and which is meant.
func unknown(name string) string {
	if near := dag.Nearest(name, []string{"taskgrove", "schedules"}); near != "" {
		return "is no key of a file of schedules: write " + near
	}
	return "is no key of a file of schedules, which has taskgrove and schedules"
}
