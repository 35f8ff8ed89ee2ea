package ports

import "testing"

func TestNoPortIsGivenTwice(t *testing.T) {
	given := map[int]bool{}
	for range 600 { // of 12,000: some fifteen meetings where nobody remembers
		list, err := Free(1)
		if err != nil {
			t.Fatal(err)
		}
		if given[list[0]] {
			t.Fatalf("port %d was given twice", list[0])
		}
		given[list[0]] = true
	}
}
