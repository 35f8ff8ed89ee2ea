package document

import (
	"encoding/json"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/codes"
	"cidx-cluster/modules/internal/human"
)

// replyLimit is how much of a reply the documents may take: Ansible keeps a
// reply in memory several times.
const replyLimit = 900 << 10

// Fit puts the documents into a reply. Where they are too long, every list is
// cut; short then says so, in both documents too: of a rehearsal there is no other.
func (d *Report) Fit(data map[string]any, page []byte) (short string, err error) {
	raw, err := d.Encode()
	if err != nil {
		return "", fmt.Errorf("encode report: %w", err)
	}
	for limit := 10_000; len(raw)+len(page) > replyLimit && limit > 0; limit /= 4 {
		var less Report
		less, short = d.shortened(limit)
		if raw, err = less.Encode(); err != nil {
			return "", fmt.Errorf("encode report: %w", err)
		}
		if page, err = less.HTML(); err != nil {
			return "", err
		}
	}
	data["truncated"], data["report"], data["html"] = short != "", json.RawMessage(raw), string(page)
	return short, nil
}

// shortened is the document with at most limit entries in every list that can
// grow with the data, and with a warning that counts what is left out.
func (d *Report) shortened(limit int) (Report, string) {
	less := *d
	var left []string
	trim(&left, "files left out", &less.Files.LeftOut, limit)
	trim(&left, "files of others", &less.Files.Foreign, limit)
	trim(&left, "kept paths", &less.Files.Paths, limit)
	trim(&left, "repaired files", &less.Files.Repaired, limit)
	trim(&left, "passes", &less.Files.Passes, limit)
	trim(&left, "alias files left alone", &less.Aliases.LeftAlone, limit)
	trim(&left, "repositories", &less.Repositories, limit)
	trim(&left, "warnings", &less.Warnings, limit)
	trim(&left, "problems", &less.Problems, limit)
	trim(&left, "checks", &less.Checks, limit)
	trim(&left, "events", &less.Timeline, limit)
	trim(&left, "tables", &less.Database.Tables, limit)
	trim(&left, "skipped tables", &less.Database.Skipped, limit)
	short := fmt.Sprintf("the report would be larger than %s and is shortened: %s", human.Bytes(replyLimit), strings.Join(left, ", "))
	less.Warnings = append([]Remark{{Step: "report", Code: codes.Of(short), Text: short}}, less.Warnings...)
	return less, short
}

// trim cuts a list, and notes how much of it is left.
func trim[T any](left *[]string, what string, list *[]T, limit int) {
	if n := len(*list); n > limit {
		*left = append(*left, fmt.Sprintf("%d of %d %s", limit, n, what))
		*list = (*list)[:limit]
	}
}
