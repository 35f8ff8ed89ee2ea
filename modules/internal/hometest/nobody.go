package hometest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const (
	nobody = 65534

	question = "CIDX_TEST_AS_NOBODY"
	answer   = 3 // the descriptor for it
)

// AsNobody has the test's second half done by a process that is user nobody: it
// runs the test again, which must begin with Nobody. It needs root, whom rights
// do not stop.
func AsNobody(t *testing.T, ask any) (answered string) {
	t.Helper()
	raw, err := json.Marshal(ask)
	must(t, err)
	replies, theirs, err := os.Pipe()
	must(t, err)
	defer replies.Close()
	child := exec.Command("/proc/self/exe", "-test.run="+exactly(t.Name()), "-test.v")
	child.Dir, child.Env = "/", []string{"PATH=" + os.Getenv("PATH"), question + "=" + string(raw)}
	child.ExtraFiles = []*os.File{theirs}
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := child.CombinedOutput()
	theirs.Close()
	if err != nil {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
	text := make([]byte, 64<<10)
	n, err := replies.Read(text)
	must(t, err)
	return string(text[:n])
}

// Nobody reports whether this process is the one of AsNobody; then ask is what
// it was given, and reply what it has to call at the end.
func Nobody(t *testing.T, ask any) (reply func(string), is bool) {
	t.Helper()
	raw, is := os.LookupEnv(question)
	if !is {
		return nil, false
	}
	must(t, json.Unmarshal([]byte(raw), ask))
	return func(text string) {
		_, err := os.NewFile(answer, "answer").WriteString(text)
		must(t, err)
	}, true
}

// GiveAway makes home and share nobody's, and lets it come there.
func (h Home) GiveAway(t *testing.T) {
	t.Helper()
	for _, dir := range []string{h.Dir, h.Share} {
		must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobody, nobody)
		}))
	}
	root := filepath.Dir(h.Dir)
	must(t, os.Chmod(root, 0o755))               // 0700 by the testing package
	must(t, os.Chmod(filepath.Dir(root), 0o755)) // 0700 by the testing package
}

// exactly is the pattern of one test or subtest.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
