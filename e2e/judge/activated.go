package judge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const activatedTable = "activated_repos"

// activation is what one <alias>_metadata.json says.
type activation struct {
	user, alias string
	fields      map[string]any
	folder      string // where the working copy lies, in CIDX's spelling
	dangling    bool   // no such folder
}

// keys of the file that have a column; the rest goes to metadata_json.
var activationKeys = []string{"username", "user_alias", "golden_repo_alias", "path", "current_branch", "activated_at", "last_accessed",
	"git_committer_email", "ssh_key_used", "is_composite", "wiki_enabled"}

// activations reads the files of a standalone server, .trash left out.
func (l layout) activations() (map[string]activation, error) {
	out := map[string]activation{}
	t := l.trees[len(l.trees)-1]
	files, err := filepath.Glob(filepath.Join(escapeGlob(t.local()), "*", "*_metadata.json"))
	if err != nil {
		return nil, fmt.Errorf("find activated repositories: %w", err)
	}
	for _, file := range files {
		user := filepath.Base(filepath.Dir(file))
		if user == ".trash" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read activated repository: %w", err)
		}
		v, err := decodeJSON(string(text))
		fields, is := v.(map[string]any)
		if err != nil || !is {
			return nil, fmt.Errorf("read activated repository %s: not a JSON object", file)
		}
		a := activation{user: user, alias: strings.TrimSuffix(filepath.Base(file), "_metadata.json"), fields: fields}
		a.folder = filepath.Join(t.link, user, a.alias)
		_, err = os.Stat(filepath.Join(t.local(), user, a.alias))
		a.dangling = err != nil
		if name, is := fields["username"].(string); is {
			a.user = name
		}
		if name, is := fields["user_alias"].(string); is {
			a.alias = name
		}
		out[a.user+"+"+a.alias] = a
	}
	return out, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// judgeActivated compares the files with the rows: a cluster knows only rows.
func (d *database) judgeActivated(ctx context.Context) error {
	if d.columns[activatedTable] == nil {
		d.report.differ("schema", "postgres/"+activatedTable, "table is missing")
		return nil
	}
	expected, err := d.layout.activations()
	if err != nil {
		return err
	}
	d.report.checked("activated", len(expected))
	names := []string{"username", "user_alias", "golden_repo_alias", "repo_path", "current_branch", "activated_at", "last_accessed",
		"git_committer_email", "ssh_key_used", "is_composite", "wiki_enabled", "metadata_json"}
	err = d.db.stream(ctx, "SELECT "+strings.Join(names, ", ")+" FROM activated_repos", func(row []pgValue) error {
		is := map[string]pgValue{}
		for i, n := range names {
			is[n] = row[i]
		}
		key := is["username"].text + "+" + is["user_alias"].text
		a, known := expected[key]
		if !known {
			d.report.differ("activated", joined("postgres", activatedTable, key), "row has no file")
			return nil
		}
		delete(expected, key)
		d.compareActivation(a, is)
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare activated repositories: %w", err)
	}
	for key, a := range expected {
		if a.dangling {
			d.report.note("activated repository %s: no folder, no row", key)
			continue
		}
		d.report.differ("activated", joined("postgres", activatedTable, key), "row is missing in PostgreSQL")
	}
	return nil
}

func (d *database) compareActivation(a activation, is map[string]pgValue) {
	differ := func(column, why string) {
		d.report.differ("activated", joined("postgres", activatedTable, a.user+"+"+a.alias, column), "%s", why)
	}
	for _, column := range []string{"golden_repo_alias", "git_committer_email", "ssh_key_used"} {
		want, has := a.fields[column].(string)
		if column == "ssh_key_used" && want == "" {
			has = false
		}
		if has == is[column].null || has && want != is[column].text {
			differ(column, fmt.Sprintf("file says %v, row %q", a.fields[column], is[column].text))
		}
	}
	branch, has := a.fields["current_branch"].(string)
	if !has {
		branch = "main"
	}
	if is["current_branch"].text != branch {
		differ("current_branch", fmt.Sprintf("file says %q, row %q", branch, is["current_branch"].text))
	}
	for _, column := range []string{"is_composite", "wiki_enabled"} {
		want, _ := a.fields[column].(bool)
		if want != (is[column].text == "t") || is[column].null {
			differ(column, fmt.Sprintf("file says %v, row %q", want, is[column].text))
		}
	}
	if why := d.activationPath(a, is["repo_path"].text); why != "" {
		differ("repo_path", why)
	}
	for _, c := range []string{"activated_at", "last_accessed"} {
		if why := d.activationTime(c, a.fields[c], is[c]); why != "" {
			differ(c, why)
		}
	}
	if why := a.compareRest(is["metadata_json"]); why != "" {
		differ("metadata_json", why)
	}
}

// activationPath: a composite repository keeps its path; a single one has none in
// the file, and the row holds the folder (nothing where there is none: without a
// path the lists of a cluster call a repository lost).
func (d *database) activationPath(a activation, is string) string {
	if path, has := a.fields["path"].(string); has && path != "" {
		if !d.compare.paths.equal(path, is) {
			return fmt.Sprintf("file says %q, row %q", path, is)
		}
		return ""
	}
	if is != a.folder && is != d.compare.paths.moved(a.folder) && (is != "" || !a.dangling) {
		return fmt.Sprintf("is %q, want the folder %q", is, a.folder)
	}
	return ""
}

// activationTime: CIDX fails on NULL, so a row must have a time even where the file has none.
func (d *database) activationTime(column string, want any, is pgValue) string {
	if d.running && living[activatedTable+"."+column] {
		return ""
	}
	text, has := want.(string)
	if !has {
		if _, err := parsePostgresTime(is.text); err != nil {
			return err.Error()
		}
		return ""
	}
	return d.compare.same(d.columns[activatedTable][column], liteValue{class: 't', text: text}, is)
}

func (a activation) compareRest(is pgValue) string {
	rest := map[string]any{}
	for key, value := range a.fields {
		if !slices.Contains(activationKeys, key) {
			rest[key] = value
		}
	}
	if len(rest) == 0 {
		if !is.null {
			return fmt.Sprintf("is %q, want NULL", is.text)
		}
		return ""
	}
	got, err := decodeJSON(is.text)
	if is.null || err != nil || !sameJSON(rest, got) {
		return fmt.Sprintf("is %q, want the file's other keys", is.text)
	}
	return ""
}
