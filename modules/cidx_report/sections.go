package report

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"sort"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/home"
)

// fromDatabase takes the tables from the reply, or from the record of what was
// loaded where this run did not come to the database.
func (d *gathering) fromDatabase(state home.State, replies []reply) {
	for _, r := range of(replies, "database") {
		if r.Get("phase").Str == "warm" {
			continue // what counts is what was loaded after the stop
		}
		warm := r.Get("warm")
		d.Database.Warm = document.WarmRows{
			Rows: warm.Get("rows").Int(), Changed: warm.Get("changed").Int(), Added: warm.Get("added").Int(),
			Deleted: warm.Get("deleted").Int(), Reason: warm.Get("reason").Str,
		}
		d.Database.Rows = r.Get("rows").Int()
		d.Database.Tables, d.Database.Skipped = tables(r.Get("tables")), tables(r.Get("skipped_tables"))
		d.Database.Quarantined = r.Get("quarantined").Int()
		d.Database.JobsFailed = r.Get("jobs_failed").Int()
		d.Database.PathsRewritten = r.Get("paths_rewritten").Int()
		if v, ok := r.Get("secrets").Value().(map[string]any); ok && len(v) > 0 {
			d.Secrets = v
		}
	}
	raw, err := os.ReadFile(state.Database())
	if errors.Is(err, fs.ErrNotExist) || d.Check || d.Outcome == document.Rehearsed || d.Outcome == document.Refused {
		return
	}
	if err != nil || !gjson.ValidBytes(raw) {
		d.Warnings = append(d.Warnings, document.Remark{
			Step: "report", Text: state.Database() + ": the record of what was loaded cannot be read",
		})
		return
	}
	record := tables(gjson.GetBytes(raw, "tables"))
	if len(d.Database.Tables) == 0 {
		d.Database.Tables = record
		for _, t := range record {
			d.Database.Rows += t.Rows
		}
		return
	}
	digests := map[string]string{}
	for _, t := range record {
		digests[t.Table] = t.Digest
	}
	for i, t := range d.Database.Tables {
		d.Database.Tables[i].Digest = digests[t.Table]
	}
}

// tables reads a list of tables, or an object of them by name.
func tables(list gjson.Result) []document.Table {
	out := []document.Table{}
	list.ForEach(func(k, v gjson.Result) bool {
		t := document.Table{Table: first(v, "table", "name"), File: v.Get("file").Str, Rows: v.Get("rows").Int(),
			Digest: v.Get("digest").Str, Status: v.Get("status").Str, Why: first(v, "why", "reason")}
		if t.Table == "" {
			t.Table = k.String()
		}
		out = append(out, t)
		return true
	})
	sort.SliceStable(out, func(i, j int) bool { return out[i].Table < out[j].Table })
	return out
}

// first is the first of the keys that holds text.
func first(v gjson.Result, keys ...string) string {
	for _, k := range keys {
		if s := v.Get(k); s.Type == gjson.String && s.Str != "" {
			return s.Str
		}
	}
	return ""
}

// fromFiles joins the parts of all replies of the copy; of one part the last
// reply counts.
func (d *gathering) fromFiles(replies []reply) {
	parts := map[string]document.Part{}
	for _, r := range of(replies, "files") {
		r.Get("parts").ForEach(func(k, v gjson.Result) bool {
			parts[k.Str] = document.Part{
				Name: k.Str, Repositories: v.Get("repositories").Int(), Files: v.Get("files").Int(),
				Folders: v.Get("folders").Int(), Bytes: v.Get("bytes").Int(), Target: v.Get("target").Str,
			}
			return true
		})
		d.Files.LeftOut = append(d.Files.LeftOut, entries(r.Get("left_out"))...)
		d.Files.Foreign = append(d.Files.Foreign, entries(r.Get("foreign"))...)
		d.Files.Repaired = append(d.Files.Repaired, entries(r.Get("repaired"))...)
		d.Files.Paths = append(d.Files.Paths, entries(r.Get("paths"))...)
	}
	d.Files.LeftOut, d.Files.Foreign = unique(d.Files.LeftOut), unique(d.Files.Foreign)
	d.Files.Paths, d.Files.Repaired = unique(d.Files.Paths), unique(d.Files.Repaired)
	for _, p := range parts {
		d.Files.Parts = append(d.Files.Parts, p)
	}
	sort.Slice(d.Files.Parts, func(i, j int) bool { return d.Files.Parts[i].Name < d.Files.Parts[j].Name })
}

// entries reads a list of texts or of objects with a path and a reason.
func entries(list gjson.Result) []document.Entry {
	out := []document.Entry{}
	for _, v := range list.Array() {
		if v.Type == gjson.String {
			out = append(out, document.Entry{Path: v.Str})
			continue
		}
		out = append(out, document.Entry{Path: first(v, "path", "file"), Why: first(v, "why", "reason", "detail")})
	}
	return out
}

// unique drops what two passes both tell.
func unique(list []document.Entry) []document.Entry {
	seen := map[document.Entry]bool{}
	out := []document.Entry{}
	for _, e := range list {
		if !seen[e] {
			seen[e] = true
			out = append(out, e)
		}
	}
	return out
}

func (d *gathering) fromAliases(replies []reply) {
	for _, r := range of(replies, "aliases") {
		d.Aliases = document.Aliases{
			Total: len(r.Get("aliases").Array()), Updated: r.Get("updated").Int(), LeftAlone: entries(r.Get("left_alone")),
		}
	}
}

func (d *gathering) fromVerify(replies []reply) {
	for _, r := range of(replies, "verify") {
		if r.Get("check_mode").Bool() {
			continue
		}
		d.Server = document.Server{
			Version: r.Get("server_version").Str, Status: r.Get("server_status").Str,
			NodeID: r.Get("node_id").Str, Healthy: r.Get("healthy_seconds").Float(),
		}
		d.Repositories, d.Accessible = []document.Repository{}, 0
		for _, v := range r.Get("repositories").Array() {
			item := document.Repository{
				Alias: v.Get("alias").Str, Golden: v.Get("golden").Str, Accessible: v.Get("accessible").Bool(),
				Hits: v.Get("hits").Int(), Word: v.Get("word").Str, Mode: v.Get("mode").Str, Path: v.Get("path").Str,
			}
			if item.Accessible {
				d.Accessible++
			}
			d.Repositories = append(d.Repositories, item)
		}
	}
}

// versions are those of the servers, as the replies have learnt them; a release of
// CIDX that only the prechecks have asked counts too.
func (d *gathering) versions(replies []reply) {
	for _, r := range replies {
		d.Database.PostgreSQL = cmp.Or(d.Database.PostgreSQL, r.Get("postgres.version").Str, r.Get("postgres_version").Str)
		d.Server.Version = cmp.Or(d.Server.Version, r.Get("server_version").Str)
	}
}

// beside are the files that other steps leave beside the report.
var beside = []document.Artifact{
	{Path: "problems.jsonl", What: "every problem of the databases, one a line"},
	{Path: "quarantine.jsonl", What: "rows that PostgreSQL cannot take"},
	{Path: "cluster-writes.jsonl", What: "what the cluster has written since the migration, the searches of the verification included"},
}

func (d *gathering) artifacts(state home.State) {
	for _, a := range beside {
		a.Path = state.Report(a.Path)
		raw, err := os.ReadFile(a.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			d.warn("report", err)
			continue
		}
		if info, err := os.Stat(a.Path); err == nil {
			a.Time = info.ModTime().UTC()
		}
		a.Lines = bytes.Count(raw, []byte("\n"))
		d.Artifacts = append(d.Artifacts, a)
	}
}
