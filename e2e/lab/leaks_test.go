package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/internal/procs"
)

// planted are the secrets to search for, with the spellings in which they could show.
type planted []struct {
	name      string
	spellings [][]byte
}

func (s *stage) planted() planted {
	s.t.Helper()
	var list planted
	for i, secret := range s.lab.Facts.Secrets {
		if len(secret) < 8 { // too short to be told from chance
			continue
		}
		p := planted{{name: fmt.Sprintf("secret %d", i+1), spellings: [][]byte{[]byte(secret)}}}
		for _, other := range []string{url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if other != secret {
				p[0].spellings = append(p[0].spellings, []byte(other))
			}
		}
		list = append(list, p...)
	}
	if len(list) < 10 {
		s.t.Fatalf("only %d secrets are planted", len(list))
	}
	return list
}

// in names the secrets that occur in a text; never the secrets themselves.
func (p planted) in(text []byte) []string {
	var found []string
	for _, secret := range p {
		if slices.ContainsFunc(secret.spellings, func(x []byte) bool { return bytes.Contains(text, x) }) {
			found = append(found, secret.name)
		}
	}
	return found
}

// below returns the files below dir that hold a secret, by path relative to dir.
func (s *stage) below(p planted, dir string) map[string][]string {
	s.t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if names := p.in(text); len(names) > 0 {
			rel, _ := filepath.Rel(dir, path)
			found[rel] = names
		}
		return nil
	})
	s.must(err)
	return found
}

// processes samples the command lines of everything that runs on this machine
// and in the nodes, until stop is called, which tells what secrets they held.
func (p planted) processes(ctx context.Context) (stop func() []string) {
	var found []string
	samples := 0
	end := procs.Sample(ctx, 5*time.Millisecond, func(pid int) {
		command := commandOf(pid)
		samples++
		if names := p.in([]byte(command)); len(names) > 0 {
			program, _, _ := strings.Cut(command, " ")
			found = append(found, fmt.Sprintf("%s in the command line of %s", names, program))
		}
	})
	return func() []string {
		end()
		if samples < 100 {
			found = append(found, "the process list was not sampled")
		}
		return found
	}
}

// belongs are the places where the server, or a rollback, needs secrets.
var belongs = []string{
	"config.json", "config.json.*", ".jwt_secret", ".encryption_key_salt", "data/mfa_key.dat", "*.db", "*.db-wal", "data/*.db", "data/*.db-wal",
	"config-migration-backup/*", ".cluster-migrate/config.json.cluster", ".cluster-migrate/snapshot/*", ".cluster-migrate/snapshot/*/*",
	".cluster-migrate/after-cluster/*/*", ".cluster-migrate/after-cluster/*/*/*",
}

func belongsThere(path string) bool {
	return slices.ContainsFunc(belongs, func(glob string) bool {
		ok, _ := filepath.Match(filepath.Join(".cidx-server", glob), path)
		return ok
	})
}

// TestNoSecretLeaks runs everything at the highest verbosity with three output
// plugins and looks for every planted secret where it must not be.
func TestNoSecretLeaks(t *testing.T) {
	s := scenario(t, 8*time.Minute)
	p := s.planted()
	posix, err := posixCollection(s.ctx, filepath.Join(s.lab.repo, ".build", "cache"))
	s.must(err)
	had := s.below(p, s.node.Disk())
	if len(had) == 0 {
		t.Fatal("the search finds nothing in the home, where secrets are")
	}
	stop := p.processes(s.ctx)

	s.by.Env = []string{"ANSIBLE_STDOUT_CALLBACK=ansible.posix.json", "ANSIBLE_COLLECTIONS_PATH=collections:" + posix}
	s.migrate("--check", "--diff", "-vvvv")
	s.by.Env = []string{"ANSIBLE_STDOUT_CALLBACK=ansible.builtin.default"}
	s.migrate("--diff", "-vvvv")
	s.by.Env = nil
	s.rollback("--diff", "-vvvv")
	// A step that fails shows more than one that does not.
	s.must(s.lab.DB.Stop())
	s.play(2, "cluster-migrate.yml", "-l", "node1", "-vvvv")

	for _, leak := range stop() {
		t.Error("LEAK", leak)
	}
	for i, played := range s.every {
		if len(played.Transcript) < 1000 {
			t.Errorf("run %d printed only %d bytes: nothing was searched", i, len(played.Transcript))
		}
		for _, name := range p.in([]byte(played.Transcript)) {
			t.Errorf("LEAK %s in the output of run %d", name, i)
		}
	}
	s.searchNode(p, had)
}

// searchNode looks through the node's journal and through all files left on node
// and controller; had are those of the home that held secrets before.
func (s *stage) searchNode(p planted, had map[string][]string) {
	s.t.Helper()
	log, err := s.node.Run(s.ctx, "journalctl", "-o", "export", "--no-pager")
	s.must(err)
	for _, name := range p.in([]byte(log)) {
		s.t.Errorf("LEAK %s in the node's journal", name)
	}
	for path, names := range s.below(p, s.node.Disk()) {
		original := strings.ReplaceAll(path, ".pre-cluster/", "/")
		if _, there := had[original]; !there && !belongsThere(path) {
			s.t.Errorf("LEAK %s in /home/cidx/%s", names, path)
		}
	}
	for what, dir := range map[string]string{"the node": s.node.Changes(), "the controller": s.by.dir} {
		for path, names := range s.below(p, dir) {
			if !strings.HasPrefix(path, "var/log/journal/") { // searched above, uncompressed
				s.t.Errorf("LEAK %s on %s in %s", names, what, path)
			}
		}
	}
}
