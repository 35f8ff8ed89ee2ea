package nfs

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// refusal is an export onto which nothing can be migrated.
type refusal struct {
	shared
	want string // of the line with the cause
	fix  string // of the line with the remedy
	left bool   // the probe's folder is another user's there, and only root may remove it
}

var refusals = map[string]refusal{
	"root is squashed, and the server's user may not write": {
		shared: shared{"rw,root_squash", "hard", "root:root 755"}, want: `create folder as cidx: permission denied`, fix: `let cidx write there`},
	"every id becomes nobody": {
		shared: shared{"rw,all_squash", "hard", "root:root 1777"}, want: `belongs to uid 65534 there \(id mapping\)`, fix: `no all_squash`, left: true},
	"every id becomes another one": {
		shared: shared{"rw,all_squash,anonuid=1700,anongid=1700", "hard", "root:root 1777"}, want: `belongs to uid 1700 there \(id mapping\)`, fix: `no all_squash`, left: true},
	"the export is read-only": {
		shared: shared{"ro,no_root_squash", "hard", "cidx:cidx 755"}, want: `exported read-only`, fix: `read-write \(rw\)`},
	"the mount is read-only": {
		shared: shared{"rw,no_root_squash", "hard,ro", "cidx:cidx 755"}, want: `mounted read-only`, fix: `remount,rw`},
}

// TestRefused: an export that cannot take the repositories is told before
// anything has changed, and the server goes on running.
func TestRefused(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		r := refusals[name]
		t.Run(name, func(t *testing.T) {
			s := scenario(t, r.shared)
			was := s.process()
			s.remember()
			p := s.play(2, migrate...)
			said := s.says(p, r.want)
			s.says(p, r.fix)
			s.says(p, `This run changed nothing`)
			if r.left {
				_, told, _ := strings.Cut(s.says(p, `\(fix: remove /mnt/\S+/\.cidx-probe-\S+\)`), "(fix: remove ")
				_, err := node1.run(s.ctx, "rmdir "+strings.TrimSuffix(told, ")"))
				s.must(err)
			}
			s.untouched(serving, probed)
			s.running(was)
			s.record(name, r.shared, p, said)
		})
	}
}
