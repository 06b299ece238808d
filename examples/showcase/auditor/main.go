// Command auditor reads the report of the showcase on its standard input and says whether the sums are right. It is the only program of
// a container's image.
package main

import (
	"bufio"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
)

func main() {
	text, err := audit(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "auditor:", err)
		os.Exit(1)
	}
	fmt.Println(text)
}

// audit adds up the third column of the table and compares it with the last row.
func audit(page io.Reader) (string, error) {
	sum, countries := new(big.Rat), 0
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		cells := strings.Split(lines.Text(), "|")
		if len(cells) < 5 {
			continue
		}
		amount, isAmount := new(big.Rat).SetString(strings.TrimSpace(cells[3]))
		switch {
		case !isAmount: // the head of the table
		case strings.TrimSpace(cells[1]) != "total":
			sum.Add(sum, amount)
			countries++
		case sum.Cmp(amount) != 0:
			return "", fmt.Errorf("the countries are %s together, not %s", sum.FloatString(2), amount.FloatString(2))
		default:
			return fmt.Sprintf("%d countries are %s EUR together: the sum is right", countries, sum.FloatString(2)), nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("the page has no row with the total")
}
