package seed

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"time"
)

// epoch is "now" of every home, so that two homes of one Random are alike.
var epoch = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// world is what the parts of a home must agree on.
type world struct {
	Options
	users   []user
	repos   []repo
	secrets secrets
	place   places
}

// places are the absolute paths that the two layouts differ in.
type places struct {
	golden, versioned, aliases, activated string
}

type user struct {
	name, password, role, totp, recovery, apiKey string
}

type repo struct {
	alias, url, branch, word string
	refreshed                bool // has snapshots
	fts                      bool
	snapshots                []string // newest last, absolute
	clone                    string
}

func newWorld(o Options) *world {
	w := &world{Options: o}
	w.place = places{golden: filepath.Join(o.Home, "data", "golden-repos"), activated: filepath.Join(o.Home, "data", "activated-repos")}
	w.place.versioned = filepath.Join(w.place.golden, ".versioned")
	w.place.aliases = filepath.Join(w.place.golden, "aliases")
	if o.Layout == LayoutAssumed {
		w.place.golden = filepath.Join(o.Home, "golden-repos")
		w.place.versioned = filepath.Join(o.Home, ".versioned")
		w.place.aliases = w.place.golden
	}
	w.users = newUsers(o)
	w.repos = newRepos(w)
	w.secrets = newSecrets(o)
	return w
}

// source answers a generator of its own for each topic, so that more rows of
// one table do not change another table.
func source(random uint64, topic string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(topic))
	return rand.New(rand.NewPCG(random, h.Sum64()))
}

func newUsers(o Options) []user {
	fixed := []user{
		{name: "admin", role: "admin"}, {name: "ops", role: "admin"}, {name: "maria", role: "power_user"},
		{name: "jo.doe@example.org", role: "normal_user"}, {name: "pia", role: "power_user"}, {name: "jörg", role: "normal_user"},
	}
	rng := source(o.Random, "accounts")
	users := make([]user, o.Users)
	for i := range users {
		if i < len(fixed) {
			users[i] = fixed[i]
		} else {
			users[i] = user{name: fmt.Sprintf("user%03d", i), role: "normal_user"}
		}
		users[i].password = "Pw-" + randomHex(rng, 16)
		users[i].apiKey = "cidx_sk_" + randomHex(rng, 32)
		if users[i].name == "ops" || users[i].name == "maria" {
			users[i].totp = base32Secret(rng)
			users[i].recovery = fmt.Sprintf("%s-%s", randomHex(rng, 8), randomHex(rng, 8))
		}
	}
	return users
}

func base32Secret(rng *rand.Rand) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	out := make([]byte, 32)
	for i := range out {
		out[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return string(out)
}

// aliases of the first repositories: dots, underscores, upper case, one that
// itself ends in -global, one never refreshed, two with a local origin.
var knownAliases = []string{"billing", "web-portal", "payments_core", "lib.parsing", "eu-global", "fresh-start",
	"local-tool", "Mobile_App", "data.pipeline-v2", "auth-service", "docs-site", "infra"}

func newRepos(w *world) []repo {
	rng := source(w.Random, "repositories")
	repos := make([]repo, 0, w.Repos+1)
	for i := range w.Repos {
		alias := fmt.Sprintf("repo-%03d", i+1)
		if i < len(knownAliases) {
			alias = knownAliases[i]
		}
		r := repo{alias: alias, url: "https://git.example.org/acme/" + alias + ".git", branch: "main", refreshed: alias != "fresh-start", fts: true}
		switch alias {
		case "local-tool":
			r.url = filepath.Join(w.place.golden, alias)
		case "docs-site":
			r.url = "file://" + filepath.Join(w.place.golden, alias)
		case "infra":
			r.url = w.place.golden + "-old/infra" // a sibling, not below the tree
		case "auth-service":
			r.url = "ssh://git@git.example.org:2222" + w.place.golden + "/auth-service.git"
		case "lib.parsing":
			r.branch = "release/2.x"
		}
		repos = append(repos, r)
	}
	repos = append(repos, repo{alias: "cidx-meta", url: "local://cidx-meta", branch: "main"})
	for i := range repos {
		r := &repos[i]
		r.word = "known" + randomHex(rng, 10)
		r.clone = filepath.Join(w.place.golden, r.alias)
		if r.refreshed {
			for s := range w.Snapshots {
				at := epoch.Add(-time.Duration(24*(w.Snapshots-s)) * time.Hour).Add(time.Duration(i) * time.Minute)
				r.snapshots = append(r.snapshots, filepath.Join(w.place.versioned, r.alias, fmt.Sprintf("v_%d", at.Unix())))
			}
		}
	}
	return repos
}

func (r repo) global() string { return r.alias + "-global" }

// target is where the alias of r points: the newest snapshot, or the clone.
func (r repo) target() string {
	if len(r.snapshots) > 0 {
		return r.snapshots[len(r.snapshots)-1]
	}
	return r.clone
}
