// Package aliases is cidx_aliases: it makes the alias files on the share point
// at the share.
//
// An alias file (<alias>-global.json) tells CIDX where a repository's current
// snapshot lies. What belongs on the share is a pure function of the original
// in the server's own tree: target_path and previous_path with the local prefix
// replaced by the share's, at a path boundary, and every other byte kept. That
// is what this module writes where the share holds anything else, and it alone:
// the copy leaves alias files out. Those on the share that have no original are
// moved aside. A second run finds nothing to do.
//
// It never writes to an original. After the cut-over the files on the share
// belong to the cluster, which changes them at every refresh; then this module
// leaves them alone.
//
// The modification time of the original is kept, so that a comparison of the
// two trees by time sees no difference; only size and content differ.
package aliases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/share"
)

// args are described in plugins/modules/cidx_aliases.yml.
type args struct {
	home.Common
}

// Module is cidx_aliases.
func Module() ansible.Module {
	return ansible.New(ansible.Spec{Name: "cidx_aliases"}, run)
}

func run(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	lost := ansible.Reply{Msg: "alias files cannot be moved", Changed: !mode.Check} // some may have been
	return share.Guard(ctx, share.Watch{Mount: a.KnownMount(ctx)}, lost, func(ctx context.Context) (ansible.Reply, error) {
		s, err := open(ctx, a, mode.Check)
		if err != nil {
			return ansible.Reply{Msg: "alias files cannot be planned"}, err
		}
		return s.run(ctx, mode)
	})
}

// run plans, and in a real run applies.
func (s *step) run(ctx context.Context, mode ansible.Mode) (ansible.Reply, error) {
	if why := s.notOurs(); why != "" {
		progress.Line(ctx, "  Left alone: %s", why)
		return ansible.Reply{Skipped: why}, nil
	}
	p, err := s.plan()
	reply := p.reply(mode)
	reply.Warnings = s.warnings(p)
	if err != nil {
		reply.Msg, reply.Changed = "alias files cannot be moved", false
		return reply, err
	}
	if !mode.Check {
		if err := s.ready(); err != nil {
			return reply, err
		}
		if reply.Changed, err = s.apply(ctx, p); err != nil {
			return reply, err
		}
	}
	reply.Msg = p.line(mode.Check)
	progress.Line(ctx, "  %s", reply.Msg)
	return reply, nil
}

// step is one run.
type step struct {
	state  home.State
	config home.Config
	layout home.Layout
	tree   home.Tree // golden-repos
	share  string
	moves  map[string]string
	check  bool
}

// open proves that the share reacts and finds the trees.
func open(ctx context.Context, a args, check bool) (*step, error) {
	config, err := a.ClusterConfig(ctx)
	if err != nil {
		return nil, err
	}
	mount, err := a.MountPoint(config)
	if err != nil {
		return nil, err
	}
	if err := share.Alive(ctx, mount, share.Deadline); err != nil {
		return nil, err
	}
	layout, err := home.Detect(a.Home, mount)
	if err != nil {
		return nil, err
	}
	s := &step{state: a.State(), config: config, layout: layout, share: mount, check: check}
	s.tree, _ = layout.Tree(cidx.GoldenRepos)
	s.moves = layout.Moves(config)
	return s, nil
}

// notOurs says why the files on the share must be left alone, or "".
func (s *step) notOurs() string {
	if s.tree.Moved() {
		return "the cut-over has happened: the alias files on the share belong to the cluster"
	}
	local, err1 := os.Stat(s.tree.Local)
	target, err2 := os.Stat(s.tree.Target)
	if err1 == nil && err2 == nil && os.SameFile(local, target) {
		return fmt.Sprintf("%s is %s already: there is only one set of alias files, which the server uses", s.tree.Local, s.tree.Target)
	}
	return ""
}

// ready proves, in a real run, that the tree has been copied and that nothing
// on the way leads back to the originals.
func (s *step) ready() error {
	target, err := filepath.EvalSymlinks(s.tree.Target)
	if errors.Is(err, os.ErrNotExist) {
		fix := "copy the golden repositories first: run cluster-migrate.yml, which does the steps in order"
		return problem.Problem{What: "no such folder", At: s.tree.Target, Fix: fix}
	}
	if err != nil {
		return fmt.Errorf("resolve tree on the share: %w", err)
	}
	for _, dir := range home.AliasDirs {
		at := filepath.Join(target, dir)
		resolved, err := filepath.EvalSymlinks(at)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("resolve folder of alias files: %w", err)
		}
		if resolved != at {
			return problem.Problem{What: "is a link to " + resolved, At: at, Fix: "replace it with a folder on the share"}
		}
	}
	return nil
}
