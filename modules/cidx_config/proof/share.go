// Package proof proves what a cut-over rests on: the share holds whatever is
// registered, the load in PostgreSQL is ours, and nobody has written to the files of
// the standalone server since they were taken and copied. It changes nothing.
package proof

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/repath"
)

// deadline bounds the look at the share; a thousand paths take a second or two
// on a slow one.
const deadline = 60 * time.Second

// Claims are the paths that have to lead to the share.
type Claims struct {
	Repos, Aliases int
	Names          []string // of registered and global repositories
	Empty          error    // a Problem: there are aliases, and no repository is registered
	list           []claim
}

// claim is one path.
type claim struct {
	what string   // "repository billing", "alias billing-global"
	at   string   // the path as it is stored
	look []string // the paths to look at: the first that exists counts
	fix  string
	soft bool // may be missing, but must not lead elsewhere
}

// Share looks, as the service user, whether every registered repository and every
// alias leads to a folder below the trees on the share. moved tells whether the links
// are in place: until then their paths are translated.
func Share(ctx context.Context, c home.Common, f cutover.Found, moved bool) (Claims, error) {
	if lacking := f.Lacking(); len(lacking) > 0 {
		return Claims{}, problem.Problem{What: "no such folder on the share", At: strings.Join(lacking, ", "),
			Fix: "run cluster-migrate.yml as a whole: the files are copied before the cut-over"}
	}
	claims, err := Claimed(ctx, f, moved)
	if err == nil {
		err = claims.Empty
	}
	if err != nil {
		return claims, err
	}
	problems, err := claims.Judge(ctx, c, f)
	problems.Add(err)
	return claims, problems.Err()
}

// Claimed gathers what PostgreSQL and the alias files on the share say.
func Claimed(ctx context.Context, f cutover.Found, moved bool) (Claims, error) {
	known, err := home.ClusterRegistry(ctx, f.Conn)
	if err != nil {
		return Claims{}, problem.Problem{What: err.Error(), At: f.Where, Fix: loadFirst}
	}
	golden, _ := f.Layout.Tree(cidx.GoldenRepos)
	moves := map[string]string{}
	if !moved {
		moves = f.Layout.Moves(f.Now)
	}
	files, err := home.Aliases(golden.Target)
	if err != nil {
		return Claims{}, err
	}
	claims := Claims{Repos: len(known.Repos), Aliases: len(files)}
	if len(known.Repos) == 0 && len(files) > 0 {
		claims.Empty = problem.Problem{What: fmt.Sprintf("golden_repos_metadata is empty, but there are %d aliases", len(files)),
			At: f.Where, Fix: loadFirst}
	}
	aliases := map[string]bool{}
	for _, a := range files {
		aliases[a.Name] = true
		claims.list = append(claims.list, claim{
			what: "alias " + a.Name, at: filepath.Join(golden.Target, a.Rel), look: []string{repath.Rewrite(a.Target, moves)},
			fix: "see whether the copy is complete (" + a.Target + "); run cluster-migrate.yml again",
		})
	}
	claims.ofRegistry(known, golden, aliases, moves)
	return claims, nil
}

// loadFirst is the way on where PostgreSQL does not hold the load.
const loadFirst = "run cluster-migrate.yml as a whole: the database is loaded before the cut-over"

// ofRegistry follows CIDX's rule: clone_path where it exists, else the newest
// snapshot; index_path only stands in for a missing alias file.
func (c *Claims) ofRegistry(known home.Registry, golden home.Tree, aliases map[string]bool, moves map[string]string) {
	for _, r := range known.Repos {
		c.Names = append(c.Names, r.Alias)
		cl := claim{
			what: "repository " + r.Alias, at: "golden_repos_metadata.clone_path " + r.ClonePath,
			look: []string{repath.Rewrite(r.ClonePath, moves)},
			fix:  "see whether the copy is complete; CIDX would delete a repository that it does not find",
		}
		if s := home.NewestSnapshot(golden.Target, r.Alias); s != "" {
			cl.look = append(cl.look, s)
		}
		c.list = append(c.list, cl)
	}
	for _, g := range known.Globals {
		c.Names = append(c.Names, g.Alias)
		if g.IndexPath == "" {
			continue
		}
		c.list = append(c.list, claim{
			what: "global repository " + g.Alias, at: "global_repos.index_path " + g.IndexPath,
			look: []string{repath.Rewrite(g.IndexPath, moves)},
			fix:  "see whether the copy is complete; the alias file is missing, too", soft: aliases[g.Alias],
		})
	}
}

// Judge resolves all claims at once, as the service user.
func (c Claims) Judge(ctx context.Context, of home.Common, f cutover.Found) (problem.List, error) {
	user, err := of.User()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, t := range f.Trees {
		paths = append(paths, t.Target)
	}
	roots := len(paths)
	for _, cl := range c.list {
		paths = append(paths, cl.look...)
	}
	answers, err := reach.Resolve(ctx, user, deadline, paths)
	if err != nil {
		return nil, err
	}
	var problems problem.List
	var allowed []string
	for i, a := range answers[:roots] {
		if a.Real == "" || !a.Folder {
			problems = append(problems, problem.Problem{What: fmt.Sprintf("user %s cannot use it: %s", user, a.Fault),
				At: f.Trees[i].Target, Fix: "every folder of the path needs x, this one r, w and x for that user"})
		}
		allowed = append(allowed, a.Real)
	}
	if len(problems) > 0 {
		return problems, nil
	}
	if f.Kept.Backend != "local" {
		// cow-daemon and ontap keep snapshots beside golden-repos.
		if real, err := filepath.EvalSymlinks(f.Share); err == nil {
			allowed = append(allowed, real)
		}
	}
	answers = answers[roots:]
	for _, cl := range c.list {
		what := cl.fault(answers[:len(cl.look)], allowed, user)
		answers = answers[len(cl.look):]
		if what != "" {
			problems = append(problems, problem.Problem{What: cl.what + ": " + what, At: cl.at, Fix: cl.fix})
		}
	}
	return problems, nil
}

// FixedBy gives every claim another way out.
func (c *Claims) FixedBy(fix string) {
	for i := range c.list {
		c.list[i].fix = fix
	}
}

// fault says what is wrong with a claim, or "".
func (cl claim) fault(answers []reach.Answer, allowed []string, user reach.Identity) string {
	for _, a := range answers {
		switch {
		case a.Missing:
			continue
		case a.Real == "":
			return fmt.Sprintf("user %s cannot reach it: %s", user, a.Fault)
		case !a.Folder:
			return "not a folder: " + a.Real
		case !slices.ContainsFunc(allowed, func(root string) bool { return repath.Within(a.Real, root) }):
			return "leads to " + a.Real + ", which is not below " + allowed[0]
		}
		return ""
	}
	if cl.soft {
		return ""
	}
	return "no such folder: " + answers[0].Path
}
