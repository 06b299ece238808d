package apitest

import "github.com/taskgrove/taskgrove/api/apitest/phrases"

// LibraryPhrases are words of libraries that a text for users has.
func LibraryPhrases(text string) (found []string) { return phrases.In(text) }
