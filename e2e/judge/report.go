package judge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Difference is one thing that is not as it must be. Name is a path such as
// "postgres/users/alice/email", "golden-repos/billing/README.md" or "config/config.json".
type Difference struct {
	Category string `json:"category"`
	Name     string `json:"name"`
	What     string `json:"what"`
}

// Report is a judgement. It may be filled from several goroutines.
type Report struct {
	guard       sync.Mutex
	except      []*regexp.Regexp
	Checked     map[string]int `json:"checked"`   // category -> things compared
	Different   map[string]int `json:"different"` // category -> differences found, also those beyond the first 2,000
	Differences []Difference   `json:"differences"`
	Notes       []string       `json:"notes"`
}

// NewReport answers an empty report that leaves out differences whose name
// matches one of the globs; * matches any text, slashes too.
func NewReport(except []string) *Report {
	r := &Report{Checked: map[string]int{}, Different: map[string]int{}, Differences: []Difference{}, Notes: []string{}}
	for _, glob := range except {
		if glob = strings.TrimSpace(glob); glob != "" {
			pattern := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(glob))
			r.except = append(r.except, regexp.MustCompile("(?s)^"+pattern+"$"))
		}
	}
	return r
}

func (r *Report) checked(category string, n int) {
	r.guard.Lock()
	defer r.guard.Unlock()
	r.Checked[category] += n
}

func (r *Report) differ(category, name, format string, args ...any) {
	r.guard.Lock()
	defer r.guard.Unlock()
	for _, e := range r.except {
		if e.MatchString(name) {
			return
		}
	}
	if r.Different[category]++; r.Different[category] > keptPerCategory {
		return
	}
	r.Differences = append(r.Differences, Difference{category, printable(name), printable(fmt.Sprintf(format, args...))})
}

func (r *Report) note(format string, args ...any) {
	r.guard.Lock()
	defer r.guard.Unlock()
	r.Notes = append(r.Notes, printable(fmt.Sprintf(format, args...)))
}

// printable keeps a report one line a difference and valid UTF-8.
func printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	return strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`), `\\`, `\`)
}

// Equal says whether nothing differs.
func (r *Report) Equal() bool { return len(r.Differences) == 0 }

// A lost table would otherwise fill memory and screen.
const (
	keptPerCategory  = 2000
	shownPerCategory = 40
)

// Print writes a summary per category and each difference, at most 40 a category; JSON has 2,000.
func (r *Report) Print(w io.Writer) {
	r.sort()
	shown := map[string]int{}
	for _, d := range r.Differences {
		if shown[d.Category]++; shown[d.Category] <= shownPerCategory {
			fmt.Fprintf(w, "DIFFERENT %-10s %s: %s\n", d.Category, d.Name, d.What)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	names := r.categories()
	for _, name := range names {
		fmt.Fprintf(w, "%-10s %8d compared, %d different\n", name, r.Checked[name], r.Different[name])
	}
}

func (r *Report) categories() []string {
	var names []string
	for name := range r.Checked {
		names = append(names, name)
	}
	for name := range r.Different {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Name, b.Name))
	})
	slices.Sort(r.Notes)
}

// JSON writes {"equal", "checked", "different", "differences", "notes"}.
func (r *Report) JSON(w io.Writer) error {
	r.sort()
	return json.NewEncoder(w).Encode(struct {
		Equal bool `json:"equal"`
		*Report
	}{r.Equal(), r})
}

func joined(parts ...string) string { return strings.Join(parts, "/") }
