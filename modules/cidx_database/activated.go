package database

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/sqlite"
)

// Activated repositories of a standalone server exist only as files
// <user>/<alias>_metadata.json (CIDX 11.79); its SQLite table is empty. Here
// they become a table in memory, so that everything else treats them as rows.

const metadataSuffix = "_metadata.json"

// activatedColumns are the keys that have a column of their own; all others go
// to metadata_json.
var activatedColumns = map[string]string{
	"username": "username", "user_alias": "user_alias", "golden_repo_alias": "golden_repo_alias", "path": "repo_path",
	"current_branch": "current_branch", "activated_at": "activated_at", "last_accessed": "last_accessed",
	"git_committer_email": "git_committer_email", "ssh_key_used": "ssh_key_used",
	"is_composite": "is_composite", "wiki_enabled": "wiki_enabled",
}

// activatedTable has no declared types: a value of the wrong kind stays what it
// is, and the conversion names it.
const activatedTable = `CREATE TABLE activated_repos (id INTEGER PRIMARY KEY, username, user_alias, golden_repo_alias, repo_path,
	current_branch, activated_at, last_accessed, git_committer_email, ssh_key_used, is_composite, wiki_enabled, metadata_json)`

func (r *runner) openActivated() error {
	tree, ok := r.layout.Tree(cidx.ActivatedRepos)
	if !ok {
		return nil // nobody has activated a repository
	}
	conn, err := sqlite.Memory()
	if err != nil {
		return err
	}
	r.source.files[cidx.Activated] = conn
	if err := conn.Exec(activatedTable); err != nil {
		return err
	}
	if err := r.readActivated(conn, tree.Local); err != nil {
		return err
	}
	r.source.tables[cidx.Activated], err = conn.Tables()
	return err
}

func (r *runner) readActivated(conn *sqlite.Conn, root string) error {
	users, err := os.ReadDir(root)
	if err != nil {
		return problem.Problem{What: err.Error(), At: root, Fix: "make the folder readable for the user that runs the migration"}
	}
	var problems problem.List
	var dangling []string
	for _, user := range users {
		if !user.IsDir() || strings.HasPrefix(user.Name(), ".") {
			continue // .trash
		}
		files, err := filepath.Glob(filepath.Join(globEscape(filepath.Join(root, user.Name())), "*"+metadataSuffix))
		if err != nil {
			return fmt.Errorf("list activated repositories: %w", err)
		}
		sort.Strings(files)
		for _, file := range files {
			row, missing, err := r.activatedRow(user.Name(), file)
			if err != nil {
				problems.Add(err)
				continue
			}
			if missing {
				dangling = append(dangling, user.Name()+"/"+strings.TrimSuffix(filepath.Base(file), metadataSuffix))
			}
			const insert = "INSERT INTO activated_repos VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
			problems.Add(conn.Exec(insert, row...))
		}
	}
	if len(dangling) > 0 {
		r.warnings.add("activated repositories without a folder, which the cluster will list all the same: %s", head(dangling, 10))
	}
	return problems.Err()
}

// globEscape spells a path so that Glob takes it literally.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// activatedRow reads one metadata file; missing tells that the repository's
// folder is gone.
func (r *runner) activatedRow(user, file string) (row []sqlite.Value, missing bool, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, false, problem.Problem{What: err.Error(), At: file, Fix: "make the file readable for the user that runs the migration"}
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, false, fmt.Errorf("stat metadata of activated repository: %w", err)
	}
	doc := gjson.ParseBytes(raw)
	if !gjson.ValidBytes(raw) || !doc.IsObject() {
		return nil, false, problem.Problem{What: "not a JSON object", At: file, Fix: "repair the file, or move it away if the repository is not in use"}
	}
	alias := strings.TrimSuffix(filepath.Base(file), metadataSuffix)
	_, statErr := os.Stat(filepath.Join(filepath.Dir(file), alias))
	missing = errors.Is(statErr, fs.ErrNotExist)
	return activatedValues(user, alias, r.activatedPath(user, alias, missing, doc), info.ModTime(), doc), missing, nil
}

// activatedPath is where the repository lies. The file of a composite one says
// it, and the path follows its tree to the share. That of a single one does not:
// CIDX puts its folder together, as the server spells it, and so does the row,
// which leads to the share through the link (CIDX 11.79, run: the lists of a
// cluster call a repository without a path lost).
func (r *runner) activatedPath(user, alias string, missing bool, doc gjson.Result) string {
	given := doc.Get("path")
	switch {
	case given.Type == gjson.String && given.Str != "":
		moved := repath.Rewrite(given.Str, r.moves)
		if moved != given.Str {
			r.source.moved++
		}
		return moved
	case missing:
		return ""
	}
	tree, _ := r.layout.Tree(cidx.ActivatedRepos)
	rel, err := filepath.Rel(r.args.Home, tree.Link)
	if err != nil {
		return "" // a tree lies below its home by definition
	}
	return filepath.Join(cidx.ServerDir(r.args.Home, r.config), rel, user, alias)
}

// activatedValues makes the row of a metadata document. path is its folder,
// touched when its file was written.
func activatedValues(user, alias, path string, touched time.Time, doc gjson.Result) []sqlite.Value {
	values := map[string]sqlite.Value{
		"username": sqlite.TextValue(user), "user_alias": sqlite.TextValue(alias),
		"current_branch": sqlite.TextValue("main"),
		"is_composite":   sqlite.IntegerValue(0), "wiki_enabled": sqlite.IntegerValue(0),
	}
	rest := []string{}
	doc.ForEach(func(key, value gjson.Result) bool {
		column, known := activatedColumns[key.Str]
		if !known {
			rest = append(rest, key.Raw+": "+value.Raw)
		} else if value.Type != gjson.Null {
			values[column] = activatedValue(column, value)
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
			values[column] = sqlite.TextValue(stampText(touched.Truncate(time.Microsecond)))
		}
	}
	var row []sqlite.Value
	for _, column := range []string{"username", "user_alias", "golden_repo_alias", "repo_path", "current_branch", "activated_at",
		"last_accessed", "git_committer_email", "ssh_key_used", "is_composite", "wiki_enabled", "metadata_json"} {
		row = append(row, values[column])
	}
	return row
}

func activatedValue(column string, v gjson.Result) sqlite.Value {
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

// head joins the first n items and says how many more there are.
func head(items []string, n int) string {
	if len(items) <= n {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:n], ", "), len(items)-n)
}
