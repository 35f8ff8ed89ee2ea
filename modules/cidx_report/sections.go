package report

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sort"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/regular"
)

// fromDatabase takes the tables from the reply, or from the record of what was
// loaded where this run did not come to the database.
func (d *gathering) fromDatabase(state home.State, replies []reply) {
	for _, r := range of(replies, "database") {
		if r.Get("phase").Str == "warm" {
			continue // what counts is what was loaded after the stop
		}
		d.Database.Warm, d.Database.Rows = as[document.WarmRows](r.Get("warm")), r.Get("rows").Int()
		d.Database.Tables, d.Database.Skipped = tables(r.Get("tables")), tables(r.Get("skipped_tables"))
		d.Database.Quarantined, d.Database.JobsFailed = r.Get("quarantined").Int(), r.Get("jobs_failed").Int()
		d.Database.PathsRewritten = r.Get("paths_rewritten").Int()
		if v, ok := r.Get("secrets").Value().(map[string]any); ok && len(v) > 0 {
			d.Secrets = v
		}
	}
	raw, err := regular.Read(state.Database())
	if errors.Is(err, fs.ErrNotExist) || d.Check || d.Outcome == document.Rehearsed || d.Outcome == document.Refused {
		return
	}
	if err != nil || !gjson.ValidBytes(raw) {
		d.warn("report", errors.New(state.Database()+": the record of what was loaded cannot be read"))
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
	loaded := gjson.GetBytes(raw, "tables").Map()
	for i, t := range d.Database.Tables {
		d.Database.Tables[i].Digest = loaded[t.Table].Get("digest").Str
	}
}

// tables reads a list of tables, or an object of them by name.
func tables(list gjson.Result) []document.Table {
	out := []document.Table{}
	list.ForEach(func(k, v gjson.Result) bool {
		t := as[document.Table](v)
		t.Table, t.Why = cmp.Or(t.Table, k.String()), cmp.Or(t.Why, v.Get("reason").Str)
		out = append(out, t)
		return true
	})
	sort.SliceStable(out, func(i, j int) bool { return out[i].Table < out[j].Table })
	return out
}

// fromFiles joins what all replies of the copy say.
func (d *gathering) fromFiles(replies []reply) {
	copies := of(replies, "files")
	d.Files.LeftOut, d.Files.Foreign = entries(copies, "left_out"), entries(copies, "foreign")
	d.Files.Paths, d.Files.Repaired = entries(copies, "paths"), entries(copies, "repaired")
	all := parts(copies)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		d.Files.Parts = append(d.Files.Parts, all[name])
	}
}

// parts are the trees that were copied; of one the last reply counts.
func parts(copies []reply) map[string]document.Part {
	all := map[string]document.Part{}
	for _, r := range copies {
		for name, v := range r.Get("parts").Map() {
			p := as[document.Part](v)
			p.Name = name
			all[name] = p
		}
	}
	return all
}

// entries reads lists of texts or of objects with a path and a reason; what two
// passes both tell counts once.
func entries(replies []reply, key string) []document.Entry {
	seen := map[document.Entry]bool{}
	out := []document.Entry{}
	for _, r := range replies {
		for _, v := range r.Get(key).Array() {
			e := document.Entry{Path: cmp.Or(v.Get("path").Str, v.Get("file").Str), Why: v.Get("why").Str}
			if v.Type == gjson.String {
				e = document.Entry{Path: v.Str}
			}
			if !seen[e] {
				seen[e] = true
				out = append(out, e)
			}
		}
	}
	return out
}

func (d *gathering) fromAliases(replies []reply) {
	for _, r := range of(replies, "aliases") {
		d.Aliases = document.Aliases{
			Total: len(r.Get("aliases").Array()), Updated: r.Get("updated").Int(), LeftAlone: entries([]reply{r}, "left_alone"),
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
			item := as[document.Repository](v)
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
		raw, err := regular.Read(a.Path)
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
