package report

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/home"
)

func TestAReportIsReadInPartsAndNothingElseIs(t *testing.T) {
	a := args{Common: home.Common{Home: t.TempDir()}, Outcome: document.Migrated, Read: "report.json"}
	if err := os.MkdirAll(a.State().Report(), 0o700); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("0123456789abcde\n"), partLimit/10)
	if err := os.WriteFile(a.State().Report("report.json"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for last := false; !last; {
		r, err := run(t.Context(), a, ansible.Mode{})
		if err != nil {
			t.Fatal(err)
		}
		piece, err := base64.StdEncoding.DecodeString(r.Data["part"].(string))
		if err != nil || len(piece) > partLimit {
			t.Fatalf("%d bytes, %v", len(piece), err)
		}
		got, last, a.Offset = append(got, piece...), r.Data["last"].(bool), r.Data["next"].(int)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, want %d", len(got), len(want))
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, a.State().Report("link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../journal.jsonl", secret, "link", "gone", ".."} {
		a.Read = name
		if r, err := run(t.Context(), a, ansible.Mode{}); err == nil {
			t.Errorf("%s was read: %v", name, r.Data)
		}
	}
}
