package template

// Kept is how many texts are kept parsed.
func Kept() int { return len(parsed.young) + len(parsed.old) }
