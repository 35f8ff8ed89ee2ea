package e2e

import (
	"errors"
	"fmt"
)

// forecast holds what the rehearsal of the last migration foretold against what it
// did: rows, files, bytes and alias files are equal, and the downtime is in its range.
// A server that nobody uses writes one row for each search that the tool itself asks of
// it before the stop: one of each repository, and some more where nothing is found.
func (st *stage) forecast(c *call) error {
	report, err := st.lastReport("node1")
	if err != nil {
		return err
	}
	told, done := report.Get("forecast"), report.Get("fact")
	searches := 4 * report.Get("repositories.#").Int()
	for _, name := range []string{"rows", "files", "bytes", "aliases"} {
		more := done.Get(name).Int() - told.Get(name).Int()
		if !done.Get(name).Exists() || more != 0 && (name != "rows" || more < 0 || more > searches) {
			err = errors.Join(err, fmt.Errorf("%s: %s foretold, %s moved", name, told.Get(name), done.Get(name)))
		}
	}
	down, least, most := report.Get("downtime.seconds").Float(), told.Get("downtime.least_seconds").Float(), told.Get("downtime.most_seconds").Float()
	fmt.Fprintf(c.out, "%d rows, %d files, down %.1f s, foretold %.1f to %.1f s\n", done.Get("rows").Int(), done.Get("files").Int(), down, least, most)
	if down < least || down > most || most == 0 {
		err = errors.Join(err, fmt.Errorf("down for %.1f s, foretold were %.1f to %.1f", down, least, most))
	}
	return err
}
