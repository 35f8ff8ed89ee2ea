package share

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// write probes in a new folder.
func (s *server) write() {
	dir := s.existing()
	sweep(dir)
	work := workFolder(dir)
	if !s.step("create folder", func() error { return os.Mkdir(work, 0o700) }) {
		return
	}
	s.answer.Work = work
	file := filepath.Join(work, "a")
	if !s.step("create", func() error { return writeSynced(file, []byte("cidx")) }) {
		return
	}
	s.step("read back", func() error { return readBack(file, []byte("cidx")) })
	s.step("chmod", func() error { return chmods(file) })
	s.step("chown", func() error { return s.chown(file) })
	s.step("mtime", func() error { return s.mtime(file) })
	s.step("rename", func() error { return renames(work, file) })
	s.step("symlink", func() error { return symlinks(work) })
	s.answer.Info.HardLinks = s.step("hard link", func() error { return hardLinks(work, file) })
	s.step("lock", func() error { return locks(file) })
	s.step("names", func() error { return s.names(work) })
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func readBack(path string, want []byte) error {
	got, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(got, want) {
		return fmt.Errorf("read %q after writing %q", got, want)
	}
	return err
}

func chmods(path string) error {
	for _, mode := range []fs.FileMode{0o444, 0o750, 0o640} {
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if info.Mode().Perm() != mode {
			return fmt.Errorf("mode is %04o after chmod %04o", info.Mode().Perm(), mode)
		}
	}
	return nil
}

// chown finds out whether the share keeps numeric ids: whose file is a new one,
// and may its owner name itself?
func (s *server) chown(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if int(st.Uid) != uid {
		return fmt.Errorf("a file of uid %d belongs to uid %d there (id mapping)", uid, st.Uid)
	}
	if err := unix.Lchown(path, uid, gid); err != nil {
		return fmt.Errorf("to %d:%d: %w", uid, gid, err)
	}
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if int(st.Uid) != uid || int(st.Gid) != gid {
		return fmt.Errorf("owner is %d:%d after chown %d:%d (id mapping)", st.Uid, st.Gid, uid, gid)
	}
	return nil
}

// mtime measures how precisely the share keeps times.
func (s *server) mtime(path string) error {
	const want = 987_654_321
	sec := time.Now().Unix() - 86400
	times := []unix.Timespec{{Sec: sec, Nsec: want}, {Sec: sec, Nsec: want}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	for _, granularity := range []int64{1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000} {
		total := sec*1_000_000_000 + want
		if st.Mtim.Nano() == total-total%granularity {
			s.answer.Info.Granularity = granularity
			return nil
		}
	}
	return fmt.Errorf("mtime is %d ns after setting %d.%09d", st.Mtim.Nano(), sec, want)
}

func renames(work, onto string) error {
	from := filepath.Join(work, "b")
	if err := writeSynced(from, []byte("cidx")); err != nil {
		return err
	}
	if err := os.Rename(from, onto); err != nil {
		return err
	}
	d, err := os.Open(work)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

func symlinks(work string) error {
	path := filepath.Join(work, "s")
	if err := os.Symlink("../nowhere", path); err != nil {
		return err
	}
	target, err := os.Readlink(path)
	if err == nil && target != "../nowhere" {
		return fmt.Errorf("link reads %q", target)
	}
	return err
}

func hardLinks(work, file string) error {
	path := filepath.Join(work, "h")
	if err := os.Link(file, path); err != nil {
		return err
	}
	a, err := os.Lstat(file)
	if err != nil {
		return err
	}
	b, err := os.Lstat(path)
	if err == nil && !os.SameFile(a, b) {
		return errors.New("the link is another file")
	}
	return err
}

func locks(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// abandoned is the age at which a probe folder of another node is stale.
const abandoned = time.Hour

// workFolder is the name of a new probe folder. It names the node and the
// process that asked for the probe, which outlives its children: a folder
// without it is stale.
func workFolder(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("%s%s-%d-%d", workPrefix, node(), os.Getppid(), time.Now().UnixNano()))
}

// node names the machine, and the processes of it that can be seen from here: in
// another container of the same name another number is another process.
func node() string {
	name, err := os.Hostname()
	if err != nil || strings.ContainsAny(name, "/") {
		name = "node"
	}
	space, _ := os.Readlink("/proc/self/ns/pid") // "pid:[4026531836]"; without /proc there is no other container, either
	return name + strings.Trim(strings.TrimPrefix(space, "pid:"), "[]")
}

// sweep removes what killed probes left behind: at once where this node can see
// that the process is gone, after an hour otherwise.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		if widowed(e.Name()) || time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // the next probe tries again
		}
	}
}

// widowed reports whether the folder is of a process of this node that is gone.
func widowed(name string) bool {
	rest, ours := strings.CutPrefix(name, workPrefix+node()+"-")
	if !ours {
		return false
	}
	text, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(text)
	return err == nil && unix.Kill(pid, 0) == unix.ESRCH
}

// kinds of names that some file systems refuse, each with an example.
var kinds = []struct{ name, example string }{
	{"newline", "n\nn"},
	{"not UTF-8", "n\xffn"},
	{"255 bytes", strings.Repeat("n", 255)},
	{"colon", "n:n"},
	{"backslash", `n\n`},
}

// NameKinds are the kinds, as Info.BadNames has them, of which a name is.
func NameKinds(name string) (list []string) {
	special := func(r rune) bool { return r < ' ' || r >= utf8.RuneSelf || r == ':' || r == '\\' }
	if len(name) < 250 && strings.IndexFunc(name, special) < 0 {
		return nil
	}
	has := func(text string) bool { return strings.Contains(name, text) }
	for i, is := range []bool{has("\n"), !utf8.ValidString(name), len(name) >= 250, has(":"), has(`\`)} {
		if is {
			list = append(list, kinds[i].name)
		}
	}
	return list
}

// names finds kinds of names that the share refuses or folds.
func (s *server) names(work string) error {
	for _, kind := range kinds {
		if os.Mkdir(filepath.Join(work, kind.example), 0o700) != nil {
			s.answer.Info.BadNames = append(s.answer.Info.BadNames, kind.name)
		}
	}
	if err := os.Mkdir(filepath.Join(work, "case"), 0o700); err != nil {
		return err
	}
	_, err := os.Lstat(filepath.Join(work, "CASE"))
	s.answer.Info.Caseless = err == nil
	return nil
}
