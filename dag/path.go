package dag

import "slices"

// ClosedPath is a path of dependencies from a task back to itself, from the earliest of its tasks on and with that at the end again; nil:
// there is none. Linear in the edges that lead there.
func ClosedPath(k Key, e Edges) []Key {
	from := map[Key]Key{} // how each task was reached
	for queue := []Key{k}; len(queue) > 0; queue = queue[1:] {
		for _, dep := range e.Dependencies(queue[0]) {
			if dep.Key == k {
				path := []Key{queue[0]}
				for path[len(path)-1] != k {
					path = append(path, from[path[len(path)-1]])
				}
				slices.Reverse(path)
				low := slices.Index(path, slices.Min(path))
				path = slices.Concat(path[low:], path[:low])
				return append(path, path[0])
			}
			if _, seen := from[dep.Key]; !seen {
				from[dep.Key] = queue[0]
				queue = append(queue, dep.Key)
			}
		}
	}
	return nil
}
