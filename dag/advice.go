package dag

import "fmt"

// maxCompared is in how large a tree a reference that leads nowhere is compared with what there is.
const maxCompared = 1000

// remedy says what to do about a reference that leads nowhere: what was likely meant, or else.
func (b *Builder) remedy(ref, otherwise string) string {
	if len(b.ids) > maxCompared {
		return otherwise + "."
	}
	known := make([]string, len(b.ids))
	for i := range b.ids {
		if b.ids[i] != "" && b.names[i] == ref {
			return fmt.Sprintf("'%s' is the name of a task with an id; refer to it by that, '%s'.", ref, b.ids[i])
		}
		known[i] = b.identity(int32(i))
	}
	if meant := Nearest(ref, known); meant != "" {
		return fmt.Sprintf("did you mean '%s'?", meant)
	}
	return otherwise + "."
}

// oddOnes names the first task with an id, or without, whichever are fewer.
func (b *Builder) oddOnes(without int) string {
	with := b.withID <= without
	for i, id := range b.ids {
		if (id != "") == with {
			if with {
				return fmt.Sprintf("Remove the ids, such as that of '%s' at index %d, or give the others one.", b.show(i), i)
			}
			return fmt.Sprintf("Give '%s' at index %d an id, and whatever else has none.", b.show(i), i)
		}
	}
	return ""
}

// commonRoot is a task that several roots can hang from.
func (b *Builder) commonRoot() string {
	if b.withID > 0 {
		return `{"id":"root","name":"root"}`
	}
	return `{"name":"root"}`
}
