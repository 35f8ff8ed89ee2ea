package reach

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Root must not become whoever could put a folder, or a link, in the place of
// the home: it would work in somebody else's name.
func TestOwnerIsRefusedWhereSomebodyElseHasAHandInThePath(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving folders away needs root")
	}
	const cidx, other = 65533, 65532
	folder := func(path string, uid int, mode os.FileMode) {
		must(t, os.MkdirAll(path, 0o755))
		must(t, os.Chmod(path, mode))
		must(t, os.Lchown(path, uid, uid))
	}
	for name, c := range map[string]struct {
		make func(dir string) (home string)
		uid  int // -1: refused
	}{
		"a home below the user's own folder": {func(d string) string {
			folder(d+"/cidx", cidx, 0o755)
			folder(d+"/cidx/home", cidx, 0o755)
			return d + "/cidx/home"
		}, cidx},
		"a home of root's": {func(d string) string { folder(d+"/home", 0, 0o755); return d + "/home" }, 0},
		"root's home in a folder of the user's": {func(d string) string {
			folder(d+"/cidx", cidx, 0o755)
			folder(d+"/cidx/home", 0, 0o755)
			return d + "/cidx/home"
		}, -1},
		"a home in somebody else's folder": {func(d string) string {
			folder(d+"/other", other, 0o755)
			folder(d+"/other/home", cidx, 0o755)
			return d + "/other/home"
		}, -1},
		"a link of the user's to somebody else's folder": {func(d string) string {
			folder(d+"/other", other, 0o755)
			folder(d+"/cidx", cidx, 0o755)
			must(t, os.Symlink(d+"/other", d+"/cidx/home"))
			return d + "/cidx/home"
		}, -1},
		"a link of root's to the user's folder": {func(d string) string {
			folder(d+"/cidx", cidx, 0o755)
			must(t, os.Symlink("cidx", d+"/home"))
			return d + "/home"
		}, cidx},
		"a folder that everybody can write": {func(d string) string {
			folder(d+"/open", 0, 0o777)
			folder(d+"/open/home", cidx, 0o755)
			return d + "/open/home"
		}, -1},
		"the same, sticky": {func(d string) string {
			folder(d+"/open", 0, 0o777|os.ModeSticky)
			folder(d+"/open/home", cidx, 0o755)
			return d + "/open/home"
		}, cidx},
		"a link in a sticky folder": {func(d string) string {
			folder(d+"/open", 0, 0o777|os.ModeSticky)
			folder(d+"/cidx", cidx, 0o755)
			must(t, os.Symlink(d+"/cidx", d+"/open/home"))
			must(t, os.Lchown(d+"/open/home", other, other))
			return d + "/open/home"
		}, -1},
		"a home that is not there": {func(d string) string { folder(d+"/cidx", cidx, 0o755); return d + "/cidx/gone/home" }, cidx},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			owner, err := Owner(c.make(dir))
			switch {
			case c.uid < 0 && (err == nil || !strings.Contains(err.Error(), "cidx_service_user")):
				t.Errorf("got %+v, %v", owner, err)
			case c.uid >= 0 && (err != nil || owner.UID != c.uid):
				t.Errorf("got %+v, %v", owner, err)
			}
		})
	}
}
