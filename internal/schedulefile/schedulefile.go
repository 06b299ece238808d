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
	if len(r.faults) == 0 {
		r.circles()
	}
	if len(r.faults) > 0 {
		return nil, treefile.Refuse(r.faults, r.more)
	}
	return r.file, nil
}

// IDs are the ids of the file's schedules.
func (f *File) IDs() (out []string) {
	for _, s := range f.Schedules {
		out = append(out, s.ID)
	}
	return out
}

// InOrder are the indexes of the schedules, each behind that of the one whose runs begin its own.
func (f *File) InOrder() (out []int) {
	done := make([]bool, len(f.Schedules))
	var add func(i int)
	add = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		if first := f.before(i); first >= 0 {
			add(first)
		}
		out = append(out, i)
	}
	for i := range f.Schedules {
		add(i)
	}
	return out
}

// before is the index of the schedule whose runs begin those of the i-th; -1: the file has none.
func (f *File) before(i int) int {
	on := f.Schedules[i].On
	if on == nil || on.Schedule == "" {
		return -1
	}
	return slices.IndexFunc(f.Schedules, func(s *scheduledoc.Spec) bool { return s.ID == on.Schedule })
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
	r.fault(treefile.Fault{Place: r.file.source.PlaceIn(path), Text: treefile.Of(path, fmt.Sprintf(format, args...))})
}

func (r *reader) read(text []byte) {
	var top map[string]json.RawMessage
	if err := jsonv2.Unmarshal(text, &top); err != nil || top == nil {
		r.at("", "must be an object with taskgrove: %d and schedules, each key once", version)
		return
	}
	meant := map[string]bool{} // keys that others were written for
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if name != "taskgrove" && name != "schedules" {
			r.at(name, "%s", unknown(name))
			meant[dag.Nearest(name, topKeys)] = true
		}
	}
	if string(top["taskgrove"]) != fmt.Sprint(version) && !(top["taskgrove"] == nil && meant["taskgrove"]) {
		r.at("taskgrove", "must be there, and %d: the version of the format", version)
	}
	var list []json.RawMessage
	switch err := json.Unmarshal(top["schedules"], &list); {
	case top["schedules"] == nil && meant["schedules"]:
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
	spec, faults := scheduledoc.Read(text, now, now)
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

// topKeys are the keys of a file.
var topKeys = []string{"taskgrove", "schedules"}

// circles tells of schedules of the file whose runs begin, by others, with their own ends: once for each circle, at its first one.
func (r *reader) circles() {
	seen := map[int]int{} // by which walk
	for i := range r.file.Schedules {
		for at := i; at >= 0; at = r.file.before(at) {
			if walk, there := seen[at]; there {
				if walk == i {
					r.fault(r.file.FaultOf(i, "on.schedule", fmt.Sprintf("runs of %s begin, by others or at once, with ends of this schedule's", r.file.Schedules[i].On.Schedule)))
				}
				break
			}
			seen[at] = i
		}
	}
}

// unknown says that there is no such key, and which is meant.
func unknown(name string) string {
	if near := dag.Nearest(name, topKeys); near != "" {
		return "is no key of a file of schedules: write " + near
	}
	return "is no key of a file of schedules, which has taskgrove and schedules"
}
