package database

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"cidx-cluster/modules/internal/pgtest"
)

// A case of the corpus is a txtar file. Its comment says what is tried. Files:
//
//	<name>.db       statements that make the SQLite database of that place in the home
//	postgres.sql    statements that make the target; ";;" separates them
//	home/<path>     a file of the home
//	bare            databases that stay without the tables that CIDX makes in each
//	role            the role of the run; it has every right, and owns nothing
//	args.json       further arguments
//	want            every line must be part of what the operator reads
//	wantnot         no line may be
//	query, rows     (accepted) a statement and what it must return
//
// $HOME and $SHARE in any of them are those of the test.

func corpus(t *testing.T, verdict string, examine func(*testing.T, *fixture, *txtar.Archive, map[string]any)) {
	files, err := filepath.Glob(filepath.Join("testdata", verdict, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata/%s: %v", verdict, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f := newFixture(t)
			arguments := f.apply(t, archive)
			f.backup(t)
			examine(t, f, archive, arguments)
		})
	}
}

// apply makes what the case describes and returns its arguments.
func (f *fixture) apply(t *testing.T, archive *txtar.Archive) map[string]any {
	arguments := map[string]any{}
	for _, file := range archive.Files {
		content := strings.NewReplacer("$HOME", f.home, "$SHARE", f.share).Replace(string(file.Data))
		switch {
		case strings.HasSuffix(file.Name, ".db"):
			f.sqlite(t, file.Name, content)
		case file.Name == "postgres.sql":
			pgtest.Exec(t, f.dsn, strings.Split(content, ";;")...)
		case file.Name == "role":
			const all = "GRANT ALL ON ALL TABLES IN SCHEMA public TO %[1]s; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO %[1]s; GRANT CREATE ON SCHEMA public TO %[1]s"
			defer f.asRole(t, strings.TrimSpace(content), fmt.Sprintf(all, strings.TrimSpace(content))) // when all is there
		case strings.HasPrefix(file.Name, "home/"):
			f.write(t, strings.TrimPrefix(file.Name, "home/"), content)
		case file.Name == "bare":
			f.bare = strings.Fields(content)
		case file.Name == "args.json":
			if err := json.Unmarshal([]byte(content), &arguments); err != nil {
				t.Fatal(err)
			}
		}
	}
	return arguments
}

func part(archive *txtar.Archive, name string) string {
	for _, file := range archive.Files {
		if file.Name == name {
			return strings.TrimSpace(string(file.Data))
		}
	}
	return ""
}

func (f *fixture) expect(t *testing.T, archive *txtar.Archive, r reply) {
	t.Helper()
	replace := strings.NewReplacer("$HOME", f.home, "$SHARE", f.share)
	for line := range strings.SplitSeq(part(archive, "want"), "\n") {
		if !strings.Contains(r.text(), replace.Replace(line)) {
			t.Errorf("not told: %s\ntold is:\n%s", line, r.text())
		}
	}
	for line := range strings.SplitSeq(part(archive, "wantnot"), "\n") {
		if line != "" && strings.Contains(r.raw, line) {
			t.Errorf("told, but must not be: %s\n%s", line, r.raw)
		}
	}
}

// TestRefused: the rehearsal and the real run both stop with the expected
// message; PostgreSQL, the home and the snapshot stay as they are.
func TestRefused(t *testing.T) {
	corpus(t, "refused", func(t *testing.T, f *fixture, archive *txtar.Archive, arguments map[string]any) {
		target, source, snapshot := f.target(t), f.source(t), f.snapshot(t)
		runs := map[string]map[string]any{"rehearsal": check(arguments), "real run": arguments}
		for mode, extra := range runs {
			r := f.run(t, extra)
			if !r.Failed {
				t.Errorf("%s: not refused: %s", mode, r.Msg)
			}
			for _, p := range r.Problems {
				if p.What == "" || p.At == "" || p.Fix == "" {
					t.Errorf("%s: incomplete problem %+v", mode, p)
				}
			}
			f.expect(t, archive, r)
			if got := f.target(t); got != target {
				t.Errorf("%s: PostgreSQL has changed:\n%s\nwas\n%s", mode, got, target)
			}
			if f.source(t) != source || f.snapshot(t) != snapshot {
				t.Errorf("%s: the source has changed", mode)
			}
		}
	})
}

// TestAccepted: the rehearsal agrees, the real run loads what is expected, and
// a second one changes nothing.
func TestAccepted(t *testing.T) {
	corpus(t, "accepted", func(t *testing.T, f *fixture, archive *txtar.Archive, arguments map[string]any) {
		source, snapshot, before := f.source(t), f.snapshot(t), f.target(t)
		if r := f.run(t, check(arguments)); r.Failed || !r.Changed {
			t.Fatalf("rehearsal: %s", r.text())
		}
		if f.target(t) != before {
			t.Error("the rehearsal has changed PostgreSQL")
		}
		if f.source(t) != source {
			t.Error("the rehearsal has changed the home")
		}
		r := f.run(t, arguments)
		if r.Failed || !r.Changed {
			t.Fatalf("real run: %s", r.text())
		}
		f.expect(t, archive, r)
		if query := part(archive, "query"); query != "" {
			want := strings.NewReplacer("$HOME", f.home, "$SHARE", f.share).Replace(part(archive, "rows"))
			if got := f.query(t, query); got != want {
				t.Errorf("PostgreSQL has\n%s\nwant\n%s", got, want)
			}
		}
		if f.snapshot(t) != snapshot {
			t.Error("the real run has changed the snapshot")
		}
		after := f.target(t)
		if again := f.run(t, arguments); again.Failed || again.Changed || f.target(t) != after {
			t.Errorf("second run: %s", again.text())
		}
		if v := f.run(t, map[string]any{"phase": "verify"}); v.Failed || v.Changed {
			t.Errorf("verify: %s", v.text())
		}
	})
}
