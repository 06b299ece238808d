// Package quantity reads amounts of cores, memory and disk as Kubernetes writes them.
//
// It owns their form. It must not know what is measured.
package quantity

import (
	"errors"
	"strconv"
	"strings"
)

// suffixes of quantities, the longer ones first.
var suffixes = []struct {
	text   string
	factor float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50},
	{"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15},
}

// Parse reads one: 500m, 0.5, 256Mi, 1G. It must be above 0.
func Parse(text string) (float64, error) {
	number, factor := text, 1.0
	for _, s := range suffixes {
		if rest, ok := strings.CutSuffix(text, s.text); ok {
			number, factor = rest, s.factor
			break
		}
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !(value > 0) || value*factor > 1e18 || strings.ContainsAny(number, "xXpP_iInN") {
		return 0, errors.New("want a quantity above 0, such as 500m, 2 or 512Mi")
	}
	return value * factor, nil
}
