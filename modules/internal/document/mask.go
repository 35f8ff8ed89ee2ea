package document

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
func (d *Report) Mask(ctx context.Context) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	var tree any
	numbers := json.NewDecoder(bytes.NewReader(raw))
	numbers.UseNumber()
	if err := numbers.Decode(&tree); err != nil {
		return fmt.Errorf("mask report: %w", err)
	}
	if raw, err = json.Marshal(hideAddresses(secret.From(ctx).HideAny(tree))); err != nil {
		return fmt.Errorf("mask report: %w", err)
	}
	var masked Report
	if err := json.Unmarshal(raw, &masked); err != nil {
		return fmt.Errorf("mask report: %w", err)
	}
	masked.Resume, masked.Rollback = hideText(ctx, d.Resume), d.Rollback
	masked.Rollback.Playbook, masked.Rollback.ByHand = hideText(ctx, d.Rollback.Playbook), []string{}
	for _, c := range d.Rollback.ByHand {
		masked.Rollback.ByHand = append(masked.Rollback.ByHand, hideText(ctx, c))
	}
	*d = masked
	return nil
}

// hideText is mask for a command.
func hideText(ctx context.Context, s string) string {
	return printable.Text(addressPassword.ReplaceAllString(secret.From(ctx).Hide(strings.TrimSpace(s)), "${1}"+secret.Mask+"@"))
}

func hideAddresses(v any) any {
	switch t := v.(type) {
	case string:
		return printable.Line(addressPassword.ReplaceAllString(t, "${1}"+secret.Mask+"@"))
	case []any:
		for i := range t {
			t[i] = hideAddresses(t[i])
		}
	case map[string]any:
		for k := range t {
			t[k] = hideAddresses(t[k])
		}
	}
	return v
}
