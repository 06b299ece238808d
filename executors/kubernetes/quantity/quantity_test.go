package quantity

import "testing"

func TestQuantities(t *testing.T) {
	for text, want := range map[string]float64{"500m": 0.5, "2": 2, "0.5": 0.5, "1Ki": 1024, "1G": 1e9, "512Mi": 512 << 20} {
		if got, err := Parse(text); got != want || err != nil {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "0", "x", "1X", "Inf", "NaN", "0x10", "1_0", "1 Gi", "1e30"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
