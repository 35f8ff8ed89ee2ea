package document

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
)

// Every cell has its label for the narrow layout, and nothing is closed.
func TestNothingIsClosedAndEveryCellIsLabelled(t *testing.T) {
	if cell := regexp.MustCompile(`<td(?: class="[^"]*")?>`).FindString(pageText); cell != "" {
		t.Errorf("a cell without data-l: %s", cell)
	}
	if strings.Contains(strings.ReplaceAll(pageText, "<details open>", ""), "<details") {
		t.Error("a closed section")
	}
}

// Text on its background in both schemes, as WCAG computes it.
func TestColoursCanBeReadInBothSchemes(t *testing.T) {
	colour := regexp.MustCompile(`--(\w+): #([0-9a-f]{3,6})`)
	blocks := regexp.MustCompile(`:root \{[^}]*--back[^}]*\}`).FindAllString(pageText, -1)
	if len(blocks) != 2 || !strings.Contains(pageText, "prefers-color-scheme: dark") {
		t.Fatalf("%d schemes", len(blocks))
	}
	for _, block := range blocks {
		scheme := map[string]float64{}
		for _, m := range colour.FindAllStringSubmatch(block, -1) {
			scheme[m[1]] = luminance(t, m[2])
		}
		for _, text := range []string{"text", "dim", "good", "bad", "warn"} {
			for _, back := range []string{"back", "box"} {
				a, b := max(scheme[text], scheme[back]), min(scheme[text], scheme[back])
				if ratio := (a + .05) / (b + .05); ratio < 4.5 {
					t.Errorf("%s on %s: %.1f:1", text, back, ratio)
				}
			}
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = hex[:1] + hex[:1] + hex[1:2] + hex[1:2] + hex[2:] + hex[2:]
	}
	var c [3]uint8
	if _, err := fmt.Sscanf(hex, "%02x%02x%02x", &c[0], &c[1], &c[2]); err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i, weight := range []float64{.2126, .7152, .0722} {
		v := float64(c[i]) / 255
		if v <= .04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}
