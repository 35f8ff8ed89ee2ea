package copies

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUnchanged(t *testing.T) {
	write := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	nothing := func(*testing.T, string) {}
	tests := map[string]struct {
		before, after func(*testing.T, string)
		wantErr       bool
	}{
		"a file that stays":                       {write("rows"), nothing, false},
		"an empty -wal that SQLite makes":         {nothing, write(""), false},
		"a -wal with frames that was not there":   {nothing, write("frames"), true},
		"a file that grows":                       {write("rows"), write("more rows"), true},
		"a file that somebody removes or empties": {write("rows"), write(""), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db-wal")
			tt.before(t, path)
			s := &Set{stamps: map[string]Stamp{path: stampOf(path).written()}}
			tt.after(t, path)
			if err := s.Unchanged(); (err != nil) != tt.wantErr {
				t.Errorf("unchanged: %v", err)
			}
		})
	}
}
