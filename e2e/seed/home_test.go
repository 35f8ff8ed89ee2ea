package seed

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cidx-cluster/e2e/pgtest"

	"github.com/google/go-cmp/cmp"
)

var cluster pgtest.Cluster

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m, &cluster)) }

func makeHome(t *testing.T, change func(*Options)) (Options, Facts) {
	t.Helper()
	o := Defaults()
	o.Home = filepath.Join(t.TempDir(), "home")
	if change != nil {
		change(&o)
	}
	facts, err := Home(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return o, facts
}

// sqlite asks the sqlite3 program about a private copy; withWAL takes the -wal along.
func sqlite(t *testing.T, file string, withWAL bool, sql string) string {
	t.Helper()
	private := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(file + suffix)
		if err != nil || suffix != "" && !withWAL {
			continue
		}
		if err := os.WriteFile(private+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("sqlite3", "-batch", private, sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestEveryDatabaseIsSoundAndFull(t *testing.T) {
	o, facts := makeHome(t, func(o *Options) { o.Repos = 1 })
	if len(facts.Tables) != 12 {
		t.Errorf("%d database files, want the eleven with tables of CIDX and cidx_oidc_state.db", len(facts.Tables))
	}
	for file, tables := range facts.Tables {
		path := filepath.Join(o.Home, file)
		if got := sqlite(t, path, true, "PRAGMA integrity_check; PRAGMA foreign_key_check;"); got != "ok" {
			t.Errorf("%s: %s", file, got)
		}
		for table, rows := range tables {
			got := sqlite(t, path, true, "SELECT count(*) FROM "+table)
			if want := json.Number(got); want.String() != jsonInt(rows) {
				t.Errorf("%s: %s has %s rows, facts say %d", file, table, got, rows)
			}
			if rows == 0 && table != "activated_repos" {
				t.Errorf("%s: %s is empty", file, table)
			}
		}
	}
}

func jsonInt(n int) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func TestEveryWALIsNeeded(t *testing.T) {
	o, facts := makeHome(t, func(o *Options) { o.Repos = 1 })
	for _, file := range walFiles {
		path := filepath.Join(o.Home, file)
		for table, rows := range facts.Tables[file] {
			cold := sqlite(t, path, false, "SELECT count(*) FROM "+table)
			if rows > 0 && cold == jsonInt(rows) {
				t.Errorf("%s: %s has all its rows without the WAL", file, table)
			}
		}
	}
	users := filepath.Join(o.Home, "data/cidx_server.db")
	email := "SELECT email FROM users WHERE username = 'pia'"
	if cold, hot := sqlite(t, users, false, email), sqlite(t, users, true, email); cold == hot || hot != "changed-in-wal@example.org" {
		t.Errorf("the WAL changes no row: %q, %q", cold, hot)
	}
}

func TestSequencesAreBeyondTheHighestID(t *testing.T) {
	o, _ := makeHome(t, func(o *Options) { o.Repos = 1 })
	for file, table := range map[string]string{"groups.db": "audit_logs", "scip_audit.db": "scip_dependency_installations", "data/cidx_server.db": "search_event_log"} {
		got := sqlite(t, filepath.Join(o.Home, file), true, "SELECT seq > (SELECT max(id) FROM "+table+") FROM sqlite_sequence WHERE name = '"+table+"'")
		if got != "1" {
			t.Errorf("%s: %s: seq > max(id) is %q", file, table, got)
		}
	}
}

func TestSameRandomMakesTheSameHome(t *testing.T) {
	dir := t.TempDir()
	dumps := make([]string, 3)
	for i, random := range []uint64{7, 7, 8} {
		home := filepath.Join(dir, "home") // the same path, as it is in the data
		_, facts := makeHome(t, func(o *Options) { o.Home, o.Random, o.Repos = home, random, 2 })
		text, err := json.Marshal(facts)
		if err != nil {
			t.Fatal(err)
		}
		dumps[i] = string(text)
		for _, file := range []string{"data/cidx_server.db", "groups.db", "oauth.db"} {
			dumps[i] += sqlite(t, filepath.Join(home, file), true, ".dump")
		}
		dumps[i] += treeDump(t, filepath.Join(home, "data/golden-repos/billing"))
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
	}
	if dumps[0] != dumps[1] {
		t.Error("two homes of random 7 differ:\n", cmp.Diff(strings.Split(dumps[0], "\n"), strings.Split(dumps[1], "\n")))
	}
	if dumps[0] == dumps[2] {
		t.Error("homes of random 7 and 8 are alike")
	}
}

// treeDump is names, modes, times and contents of a clone outside .git, and its commit.
func treeDump(t *testing.T, dir string) string {
	t.Helper()
	script := `cd "$0" && git -c safe.directory='*' rev-parse HEAD && find . -path ./.git -prune -o -printf '%p %m %T@ %l\n' | sort &&
		find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum`
	out, err := exec.Command("sh", "-c", script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestRepositoriesAreRealAndKnown(t *testing.T) {
	for _, layout := range []string{LayoutReal, LayoutAssumed} {
		o, facts := makeHome(t, func(o *Options) { o.Layout = layout })
		w := newWorld(o)
		for _, r := range w.repos {
			var alias struct {
				Target string `json:"target_path"`
			}
			text, err := os.ReadFile(filepath.Join(w.place.aliases, r.global()+".json"))
			if err != nil || json.Unmarshal(text, &alias) != nil {
				t.Fatalf("%s: alias of %s: %v", layout, r.alias, err)
			}
			readme, err := os.ReadFile(filepath.Join(alias.Target, "README.md"))
			if err != nil || !strings.Contains(string(readme), r.word) {
				t.Errorf("%s: %s: README.md below the alias target lacks the word: %v", layout, r.alias, err)
			}
			for _, dir := range append([]string{r.clone}, r.snapshots...) {
				if out, err := exec.Command("git", "-c", "safe.directory=*", "-C", dir, "fsck", "--no-dangling").CombinedOutput(); err != nil {
					t.Errorf("%s: git fsck: %v: %s", dir, err, out)
				}
			}
		}
		if len(facts.Repos) != o.Repos+1 {
			t.Errorf("%s: facts name %d repositories, want %d", layout, len(facts.Repos), o.Repos+1)
		}
	}
}

func TestEncryptedTokensOpen(t *testing.T) {
	o, facts := makeHome(t, func(o *Options) { o.Repos = 1 })
	salt, err := os.ReadFile(filepath.Join(o.Home, ".encryption_key_salt"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(salt)
	key, err := pbkdf2.Key(sha256.New, "cidx-token-encryption-key", sum[:], 100_000, 32)
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(o.Home, "data/cidx_server.db")
	rows := sqlite(t, db, true, "SELECT encrypted_token FROM ci_tokens UNION ALL SELECT encrypted_token FROM user_git_credentials")
	for _, row := range strings.Split(rows, "\n") {
		sealed, err := base64.StdEncoding.DecodeString(row)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		clear := make([]byte, len(sealed)-aes.BlockSize)
		cipher.NewCBCDecrypter(block, sealed[:aes.BlockSize]).CryptBlocks(clear, sealed[aes.BlockSize:])
		if token := string(clear[:len(clear)-int(clear[len(clear)-1])]); !slices.Contains(facts.Secrets, token) {
			t.Fatal("a token decrypts to something else")
		}
	}
}

func TestHomeRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"a folder that is not empty": {func(o *Options) { o.Home = full }, "not empty"},
		"an unknown layout":          {func(o *Options) { o.Layout = "other" }, `"other"`},
		"four snapshots":             {func(o *Options) { o.Snapshots = 4 }, "snapshots"},
		"no home":                    {func(o *Options) { o.Home = "" }, "home: missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := Defaults()
			o.Home = filepath.Join(t.TempDir(), "home")
			test.change(&o)
			if _, err := Home(context.Background(), o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
