// Package hostile sends a running cluster what it must refuse: garbage, too much, too slowly, and in others' names.
//
// It owns attackers and their tests: workers that lie with true credentials, and clients that know no manners. It must not
// know how refusals are made, only how they look from outside.
package hostile
