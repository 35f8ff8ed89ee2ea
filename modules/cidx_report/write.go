package report

import (
	"fmt"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
)

// write puts the documents into the state folder, each complete or not at all,
// and a copy under its time, so that every run's report stays.
func write(d *document.Report, state home.State, page []byte) ([]string, error) {
	raw, err := d.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	if err := durable.MakeFolder(state.Report()); err != nil {
		return nil, err
	}
	history := state.Report("report-" + d.Time.Format("20060102T150405.000Z") + ".json")
	for _, f := range []struct {
		path    string
		content []byte
	}{{history, raw}, {state.Report("report.json"), raw}, {state.Report("report.html"), page}} {
		if err := durable.Write(f.path, f.content, nil); err != nil {
			return nil, fmt.Errorf("write report: %w", err)
		}
	}
	return []string{state.Report("report.json"), state.Report("report.html")}, nil
}
