package document

import (
	"context"
	"regexp"
	"strings"

	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/secret"
)

// addressPassword is a password in what looks like an address.
var addressPassword = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@'"]*:)[^\s/@'"]+@`)

// Mask hides every secret in the document (what the keeper of ctx knows, and
// passwords in addresses) and makes every text printable in one line: it may be
// of the journal, which nobody has filtered. Commands are the operator's own, and
// may have several lines.
func (d *Report) Mask(ctx context.Context) {
	hide := func(s string) string {
		return addressPassword.ReplaceAllString(secret.From(ctx).Hide(s), "${1}"+secret.Mask+"@")
	}
	masked := printable.Each(*d, func(s string) string { return printable.Line(hide(s)) }).(Report)
	command := func(s string) string { return printable.Text(hide(strings.TrimSpace(s))) }
	masked.Resume, masked.Rollback = command(d.Resume), d.Rollback
	masked.Rollback.Playbook, masked.Rollback.ByHand = command(d.Rollback.Playbook), []string{}
	for _, c := range d.Rollback.ByHand {
		masked.Rollback.ByHand = append(masked.Rollback.ByHand, command(c))
	}
	*d = masked
}
