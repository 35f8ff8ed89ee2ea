package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/share"
)

// deadline bounds the look at the share; a thousand paths take a second or two
// on a slow one.
const deadline = 60 * time.Second

// proof counts what was found on the share.
type proof struct {
	repos, aliases int
	names          []string // of registered and global repositories
}

// claim is one path that has to lead to the share.
type claim struct {
	what string // "repository billing", "alias billing-global"
	at   string // the path as it is stored
	look string // the path to look at
	fix  string
	also []string // looked at in turn where look does not exist
	soft bool     // may be missing, but must not lead elsewhere
}

func alive(ctx context.Context, mount string) error {
	return share.Alive(ctx, mount, share.Deadline)
}

// prove looks, as the service user, whether every registered repository and
// every alias leads to a folder below the trees on the share. moved tells
// whether the links are in place: until then their paths are translated.
func (c *cutover) prove(ctx context.Context, found situation, moved bool) error {
	missing := c.targets(found)
	if c.mode.Check && len(missing) > 0 {
		for _, t := range missing {
			c.unchecked = append(c.unchecked, t+" is not there yet; repositories and aliases would be checked after the copy")
		}
		return nil
	}
	if len(missing) > 0 {
		return problem.Problem{What: "no such folder on the share", At: strings.Join(missing, ", "), Fix: "run cluster-migrate.yml as a whole: the files are copied before the cut-over"}
	}
	user, err := c.User()
	if err != nil {
		return err
	}
	conn, where, err := c.connect(ctx, found)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	if c.Wanted != accepted {                    // which takes nothing from under other nodes
		if err := nodes.Alone(ctx, conn, found.kept.NodeID, where); err != nil {
			return err
		}
	}
	claims, err := c.claims(ctx, conn, where, found, moved)
	if err != nil {
		return err
	}
	problems, err := c.judge(ctx, found, user, claims)
	if err != nil {
		return err
	}
	if c.mode.Check {
		for _, p := range problems {
			c.unchecked = append(c.unchecked, p.At+": "+p.What+"; would be checked again after the copy")
		}
		return nil
	}
	return problems.Err()
}

// targets lists the trees' folders that are not on the share.
func (c *cutover) targets(found situation) []string {
	var missing []string
	for _, t := range found.trees {
		if info, err := os.Stat(t.Target); err != nil || !info.IsDir() {
			missing = append(missing, t.Target)
		}
	}
	return missing
}

// claims gathers what PostgreSQL and the alias files say.
func (c *cutover) claims(ctx context.Context, conn *pgconn.PgConn, where string, found situation, moved bool) ([]claim, error) {
	known, err := home.ClusterRegistry(ctx, conn)
	if err != nil {
		return nil, problem.Problem{What: err.Error(), At: where, Fix: "run cluster-migrate.yml as a whole: the database is loaded before the cut-over"}
	}
	golden, _ := found.layout.Tree(cidx.GoldenRepos)
	moves := map[string]string{}
	if !moved {
		moves = found.layout.Moves(found.now)
	}
	claims, aliases, err := aliasClaims(golden, moves)
	if err != nil {
		return nil, err
	}
	c.found = proof{repos: len(known.Repos), aliases: len(claims)}
	for _, r := range known.Repos {
		c.found.names = append(c.found.names, r.Alias)
	}
	for _, g := range known.Globals {
		c.found.names = append(c.found.names, g.Alias)
	}
	if len(known.Repos) == 0 && len(claims) > 0 {
		if !c.mode.Check {
			return nil, problem.Problem{What: fmt.Sprintf("golden_repos_metadata is empty, but there are %d aliases", len(claims)), At: where, Fix: "run cluster-migrate.yml as a whole: the database is loaded before the cut-over"}
		}
		c.unchecked = append(c.unchecked, "golden_repos_metadata is empty; its paths would be checked after the load")
	}
	return append(claims, registryClaims(known, golden, aliases, moves)...), nil
}

// aliasClaims reads the alias files on the share.
func aliasClaims(golden home.Tree, moves map[string]string) ([]claim, map[string]bool, error) {
	var claims []claim
	names := map[string]bool{}
	aliases, err := home.Aliases(golden.Target)
	for _, a := range aliases {
		names[a.Name] = true
		claims = append(claims, claim{
			what: "alias " + a.Name, at: filepath.Join(golden.Target, a.Rel), look: repath.Rewrite(a.Target, moves),
			fix: "see whether the copy is complete (" + a.Target + "); run cluster-migrate.yml again",
		})
	}
	return claims, names, err
}

// registryClaims follows CIDX's rule: clone_path where it exists, else the
// newest snapshot; index_path only stands in for a missing alias file.
func registryClaims(known home.Registry, golden home.Tree, aliases map[string]bool, moves map[string]string) []claim {
	var claims []claim
	for _, r := range known.Repos {
		cl := claim{
			what: "repository " + r.Alias, at: "golden_repos_metadata.clone_path " + r.ClonePath, look: repath.Rewrite(r.ClonePath, moves),
			fix: "see whether the copy is complete; CIDX would delete a repository that it does not find",
		}
		if s := newestSnapshot(golden.Target, r.Alias); s != "" {
			cl.also = []string{s}
		}
		claims = append(claims, cl)
	}
	for _, g := range known.Globals {
		if g.IndexPath == "" {
			continue
		}
		claims = append(claims, claim{
			what: "global repository " + g.Alias, at: "global_repos.index_path " + g.IndexPath, look: repath.Rewrite(g.IndexPath, moves),
			fix: "see whether the copy is complete; the alias file is missing, too", soft: aliases[g.Alias],
		})
	}
	return claims
}

// newestSnapshot is .versioned/<alias>/v_<largest number>, or "".
func newestSnapshot(root, alias string) string {
	dir := filepath.Join(root, ".versioned", alias)
	entries, _ := os.ReadDir(dir) // most aliases have no snapshot yet
	best, newest := "", int64(-1)
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), "v_")
		if n, err := strconv.ParseInt(text, 10, 64); ok && err == nil && n > newest {
			best, newest = filepath.Join(dir, e.Name()), n
		}
	}
	return best
}

// judge resolves all claims at once, as the service user.
func (c *cutover) judge(ctx context.Context, found situation, user reach.Identity, claims []claim) (problem.List, error) {
	var paths []string
	for _, t := range found.trees {
		paths = append(paths, t.Target)
	}
	roots := len(paths)
	for _, cl := range claims {
		paths = append(append(paths, cl.look), cl.also...)
	}
	answers, err := reach.Resolve(ctx, user, deadline, paths)
	if err != nil {
		return nil, err
	}
	var problems problem.List
	var allowed []string
	for i, a := range answers[:roots] {
		if a.Real == "" || !a.Folder {
			problems = append(problems, problem.Problem{What: fmt.Sprintf("user %s cannot use it: %s", user, a.Fault), At: found.trees[i].Target, Fix: "every folder of the path needs x, this one r, w and x for that user"})
		}
		allowed = append(allowed, a.Real)
	}
	if len(problems) > 0 {
		return problems, nil
	}
	if found.kept.Backend != "local" {
		// cow-daemon and ontap keep snapshots beside golden-repos.
		if real, err := filepath.EvalSymlinks(c.share); err == nil {
			allowed = append(allowed, real)
		}
	}
	next := roots
	for _, cl := range claims {
		mine := answers[next : next+1+len(cl.also)]
		next += len(mine)
		if what := cl.fault(mine, allowed, user); what != "" {
			problems = append(problems, problem.Problem{What: cl.what + ": " + what, At: cl.at, Fix: cl.fix})
		}
	}
	return problems, nil
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
		case !below(a.Real, allowed):
			return "leads to " + a.Real + ", which is not below " + allowed[0]
		}
		return ""
	}
	if cl.soft {
		return ""
	}
	return "no such folder: " + answers[0].Path
}

func below(path string, roots []string) bool {
	for _, r := range roots {
		if path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}
