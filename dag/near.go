package dag

import (
	"strings"
)

// maxNear is how long a word may be to be compared with others, in bytes.
const maxNear = 64

// Nearest is the one of the known words that a misspelt one is likely to mean; empty when none is near. Case, '_', '-' and spaces
// don't count. Short words must be the same otherwise, but for letters that are swapped, as any other short word is near to them.
func Nearest(word string, known []string) string { return closest(word, known, slack) }

// Closest is the one of the words that is most like a word, where one of them is known to be meant: a quarter of the longer one is
// enough. Empty when none is like it.
func Closest(word string, others []string) string {
	return closest(word, others, func(a, b []rune) int { return max(len(a), len(b)) * 3 / 4 })
}

// closest is the first of the words with the fewest edits, of those that need no more than most allows.
func closest(word string, known []string, most func(a, b []rune) int) string {
	if len(word) > maxNear {
		return ""
	}
	w := []rune(plainWord(word))
	best, least := "", 0
	for _, k := range known {
		if len(k) > maxNear {
			continue
		}
		other := []rune(plainWord(k))
		d := distance(w, other)
		if d <= most(w, other) && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// SameWord reports whether two words differ in nothing but case, '_', '-' and spaces.
func SameWord(a, b string) bool { return plainWord(a) == plainWord(b) }

// plainWord is a word without what people forget.
func plainWord(word string) string { return strings.ToLower(forgotten.Replace(word)) }

var forgotten = strings.NewReplacer("_", "", "-", "", " ", "")

// slack is how many edits may lie between two words that are likely the same: none in the shortest; one in usual ones, which in
// words of four letters is not an exchanged letter (pool is not tool), and in words of three only a swap (evn for env); two in long
// ones.
func slack(a, b []rune) int {
	switch n := max(len(a), len(b)); {
	case n < 3, n == 3 && len(a) != len(b), n <= 4 && len(a) == len(b) && !swapped(a, b):
		return 0
	case n < 10:
		return 1
	}
	return 2
}

// swapped reports whether words of the same length have the same letters.
func swapped(a, b []rune) bool {
	counts := map[rune]int{}
	for i := range a {
		counts[a[i]]++
		counts[b[i]]--
	}
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}

// distance is how many letters must be added, left out, exchanged or swapped with their neighbour to make b of a.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, c := range a {
		before, last, row = last, row, before
		row[0] = i + 1
		for j, d := range b {
			cost := 1
			if c == d {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && c == b[j-1] && a[i-1] == d {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
