package rawjson

import "iter"

// Members yields the members of a valid object in their order: each name in its quotes, and its value. Of any other text it yields nothing.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		i := SkipSpace(object, 0)
		if i >= len(object) || object[i] != '{' {
			return
		}
		for i = SkipSpace(object, i+1); i < len(object) && object[i] == '"'; i = SkipSpace(object, i+1) {
			name := object[i:SkipString(object, i)]
			i = SkipSpace(object, i+len(name))
			i = SkipSpace(object, i+1) // the colon
			end := SkipValue(object, i)
			if !yield(name, object[i:end]) {
				return
			}
			i = SkipSpace(object, end) // at the comma or the end
		}
	}
}

// Elements yields the elements of a valid array in their order. Of any other text it yields nothing.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		i := SkipSpace(array, 0)
		if i >= len(array) || array[i] != '[' {
			return
		}
		for i = SkipSpace(array, i+1); i < len(array) && array[i] != ']'; i = SkipSpace(array, i+1) {
			end := SkipValue(array, i)
			if !yield(array[i:end]) || end == i {
				return
			}
			i = SkipSpace(array, end)
		}
	}
}
