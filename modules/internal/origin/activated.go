package origin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/sqlite"
)

const (
	metadataSuffix = "_metadata.json"
	readable       = "make it readable for the user that runs the migration"
)

// columns are those of the table. They have no types: a value of the
// wrong kind stays what it is, and the conversion names it. Each has the key of
// its name, but repo_path, whose key is path; all other keys go to metadata_json.
var columns = []string{"username", "user_alias", "golden_repo_alias", "repo_path", "current_branch", "activated_at",
	"last_accessed", "git_committer_email", "ssh_key_used", "is_composite", "wiki_enabled", "metadata_json"}

// Activated repositories exist only as files <user>/<alias>_metadata.json (CIDX
// 11.79); the SQLite table is empty. Here they become a table in memory, so that
// everything else treats them as rows.

// activated are the activated repositories of a tree.
type activated struct {
	moved    int64
	dangling []string
	folder   string            // of the tree, as the server spells it
	moves    map[string]string // path prefixes, old to new
}

// read fills a table in memory from the files below a tree.
func (a *activated) read(conn *sqlite.Conn, tree home.Tree) error {
	if err := conn.Exec("CREATE TABLE activated_repos (id INTEGER PRIMARY KEY, " + strings.Join(columns, ", ") + ")"); err != nil {
		return err
	}
	users, err := os.ReadDir(tree.Local)
	if err != nil {
		return problem.Problem{What: err.Error(), At: tree.Local, Fix: readable}
	}
	var problems problem.List
	for _, user := range users {
		if !user.IsDir() || strings.HasPrefix(user.Name(), ".") {
			continue // .trash
		}
		folder := filepath.Join(tree.Local, user.Name())
		files, err := os.ReadDir(folder)
		if err != nil {
			return problem.Problem{What: err.Error(), At: folder, Fix: readable}
		}
		for _, file := range files {
			if !strings.HasSuffix(file.Name(), metadataSuffix) {
				continue
			}
			row, err := a.row(user.Name(), filepath.Join(folder, file.Name()))
			if err == nil {
				err = conn.Exec("INSERT INTO activated_repos VALUES (NULL"+strings.Repeat(", ?", len(row))+")", row...)
			}
			problems.Add(err)
		}
	}
	return problems.Err()
}

// row reads one metadata file.
func (a *activated) row(user, file string) ([]sqlite.Value, error) {
	raw, err := regular.Read(file)
	if err != nil {
		return nil, problem.Problem{What: err.Error(), At: file, Fix: readable}
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("stat metadata of activated repository: %w", err)
	}
	doc := gjson.ParseBytes(raw)
	if !gjson.ValidBytes(raw) || !doc.IsObject() {
		return nil, problem.Problem{What: "not a JSON object", At: file,
			Fix: "repair the file, or move it away if the repository is not in use"}
	}
	alias := strings.TrimSuffix(filepath.Base(file), metadataSuffix)
	_, err = os.Stat(filepath.Join(filepath.Dir(file), alias))
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		a.dangling = append(a.dangling, user+"/"+alias)
	}
	// That of a composite one says its path, which follows its tree to the share. That
	// of a single one does not: CIDX puts its folder together, as the server spells it,
	// and so does the row, which leads to the share through the link (CIDX 11.79, run:
	// the lists of a cluster call a repository without a path lost).
	path := ""
	if !missing {
		path = filepath.Join(a.folder, user, alias)
	}
	if given := doc.Get("path"); given.Type == gjson.String && given.Str != "" {
		if path = repath.Rewrite(given.Str, a.moves); path != given.Str {
			a.moved++
		}
	}
	return valuesOf(user, alias, path, info.ModTime(), doc), nil
}

// valuesOf makes the row of a metadata document. path is its folder,
// touched when its file was written.
func valuesOf(user, alias, path string, touched time.Time, doc gjson.Result) []sqlite.Value {
	values := map[string]sqlite.Value{
		"username": sqlite.TextValue(user), "user_alias": sqlite.TextValue(alias),
		"current_branch": sqlite.TextValue("main"),
		"is_composite":   sqlite.IntegerValue(0), "wiki_enabled": sqlite.IntegerValue(0),
	}
	rest := []string{}
	doc.ForEach(func(key, value gjson.Result) bool {
		column := key.Str
		if column == "path" {
			column = "repo_path"
		}
		if key.Str == "repo_path" || key.Str == "metadata_json" || !slices.Contains(columns, column) {
			rest = append(rest, key.Raw+": "+value.Raw)
		} else if value.Type != gjson.Null {
			values[column] = valueOf(column, value)
		}
		return true
	})
	if len(rest) > 0 {
		values["metadata_json"] = sqlite.TextValue("{" + strings.Join(rest, ", ") + "}")
	}
	if v := values["repo_path"]; v.IsNull() || v.Class == sqlite.Text {
		values["repo_path"] = sqlite.TextValue(path)
	}
	// Neither may be NULL: listing repositories fails on it, and the reaper of
	// idle ones takes NULL for "long ago".
	for _, column := range []string{"activated_at", "last_accessed"} {
		if v := values[column]; v.IsNull() {
			values[column] = sqlite.TextValue(load.StampText(touched.Truncate(time.Microsecond)))
		}
	}
	var row []sqlite.Value
	for _, column := range columns {
		row = append(row, values[column])
	}
	return row
}

func valueOf(column string, v gjson.Result) sqlite.Value {
	if column == "ssh_key_used" && (v.Type == gjson.False || v.Type == gjson.String && v.Str == "") {
		return sqlite.NullValue()
	}
	switch v.Type {
	case gjson.True:
		return sqlite.IntegerValue(1)
	case gjson.False:
		return sqlite.IntegerValue(0)
	case gjson.String:
		return sqlite.TextValue(v.Str)
	case gjson.Number:
		return sqlite.RealValue(v.Num)
	}
	return sqlite.BlobValue([]byte(v.Raw)) // an object or array where a text should be
}
