package files

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// replacedFolders are folders of the share that somebody replaces by a link.
var replacedFolders = []string{
	"golden-repos", "golden-repos/flask", "golden-repos/flask/idx", "golden-repos/flask/.git/refs", "golden-repos/.versioned", "golden-repos/.versioned/flask",
	"activated-repos/ann@example.org",
}

// victim is a folder of somebody else's, in which every name of the source is
// found, and nothing may change.
func (s *server) victimOf(rel string) (dir string, same func()) {
	s.t.Helper()
	dir = filepath.Join(filepath.Dir(s.share), "victim")
	s.command("cp", "-a", s.path("data/"+rel), dir)
	s.command("find", dir, "-exec", "touch", "-h", "-d", "2020-01-01", "{}", "+")
	s.do(os.Chmod(dir, 0o700))
	before := snapshot(s.t, dir)
	return dir, func() { mustMatch(s.t, before, snapshot(s.t, dir)) }
}

// everyChange touches all that a pass can do in a folder.
func (s *server) everyChange() {
	s.git(repo, "pack-refs", "--all")
	for _, dir := range []string{"data/golden-repos/flask", "data/golden-repos/flask/idx", "data/golden-repos/flask/.git/refs", "data/golden-repos/.versioned/flask", "data/golden-repos/.versioned/flask/v_1767312000", "data/activated-repos/ann@example.org"} {
		s.write(dir+"/new", "x")
		s.write(dir+"/sub/new", "x")
		s.do(os.Symlink("new", s.path(dir+"/newlink")))
		s.do(os.Link(s.path(dir+"/new"), s.path(dir+"/hard")))
		s.do(os.Chmod(s.path(dir), 0o711))
	}
	s.do(os.Chmod(s.path(repo+"idx/3.json"), 0o600))
	s.write(repo+"idx/4.json", "changed")
	s.do(os.Remove(s.path(repo + "idx/5.json")))
	s.do(os.RemoveAll(s.path(repo + "deep")))
	s.do(os.Remove(s.path("data/activated-repos/ann@example.org/flask/app.py")))
}

// finished runs the delta until it goes well; what it refuses names the link,
// which is then removed.
func (s *server) finished(link string) {
	s.t.Helper()
	a := s.faultArgs(phaseDelta)
	a.Fsck = false
	for range 3 {
		_, err := s.run(a, false)
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), link) {
			s.t.Fatalf("not named: %v", err)
		}
		if strings.Contains(err.Error(), "not a folder") {
			s.do(os.Remove(link))
		}
	}
	s.t.Fatal("the delta never goes well")
}

func TestAFolderOfTheShareThatBecomesALinkLeadsNobodyOut(t *testing.T) {
	for _, rel := range replacedFolders {
		for _, gone := range []bool{false, true} {
			t.Run(fmt.Sprintf("between warm and delta, %s, gone at the source: %v", rel, gone), func(t *testing.T) {
				t.Parallel()
				s := newServer(t)
				s.fillForFaults()
				a := s.faultArgs(phaseWarm)
				s.mustArgs(a)
				victim, same := s.victimOf(rel)
				s.everyChange()
				if gone && strings.Count(rel, "/") > 1 {
					s.do(os.RemoveAll(s.path("data/" + rel)))
				}
				link := filepath.Join(s.share, rel)
				s.do(os.Rename(link, link+".was"))
				s.do(os.Symlink(victim, link))
				s.finished(link)
				same()
				s.do(os.RemoveAll(link + ".was"))
				s.finished(link)
				same()
			})
		}
	}
}

// A folder that is moved away while rsync is at work is made anew: what was open of it is not worked in any more.
func TestAFolderOfTheShareThatIsMovedAwayMeanwhileIsMadeAnew(t *testing.T) {
	for _, rel := range []string{"golden-repos/flask", "activated-repos/ann@example.org"} {
		t.Run(rel, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.fillForFaults()
			a := s.faultArgs(phaseWarm)
			a.Fsck = false
			rsync, err := exec.LookPath("rsync")
			s.do(err)
			bin, folder := t.TempDir(), filepath.Join(s.share, rel)
			script := "#!/bin/sh\n[ $# -gt 1 ] && [ -d '" + folder + "' ] && mkdir " + bin + "/ran 2>/dev/null && mv '" + folder + "' " + bin + "/was\nexec " + rsync + " \"$@\"\n"
			s.do(os.WriteFile(filepath.Join(bin, "rsync"), []byte(script), 0o755))
			out, _ := s.victim(a, "PATH="+bin+":"+os.Getenv("PATH")).CombinedOutput()
			if _, err := os.Stat(bin + "/was"); err != nil {
				t.Fatalf("nothing was moved: %s", out)
			}
			s.finished(folder)
			s.mustEqual()
		})
	}
}

// The same while rsync is at work.
func TestAFolderOfTheShareThatBecomesALinkMeanwhileLeadsNobodyOut(t *testing.T) {
	for _, rel := range []string{"golden-repos/flask/idx", "golden-repos/.versioned/flask", "activated-repos/ann@example.org"} {
		for _, delta := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, delta %v", rel, delta), func(t *testing.T) {
				t.Parallel()
				s := newServer(t)
				s.fillForFaults()
				a := s.faultArgs(phaseWarm)
				a.Fsck = false
				if delta {
					s.mustArgs(a)
					a.Phase = phaseDelta
				}
				victim, same := s.victimOf(rel)
				s.everyChange()
				link := filepath.Join(s.share, rel)
				rsync, err := exec.LookPath("rsync")
				s.do(err)
				bin := t.TempDir()
				script := "#!/bin/sh\n[ $# -gt 1 ] && [ -d '" + link + "' ] && mkdir " + bin + "/ran 2>/dev/null && mv '" + link + "' " + bin + "/was && ln -s '" + victim + "' '" + link + "'\nexec " + rsync + " \"$@\"\n"
				s.do(os.WriteFile(filepath.Join(bin, "rsync"), []byte(script), 0o755))
				_, _ = s.victim(a, "PATH="+bin+":"+os.Getenv("PATH")).CombinedOutput()
				if _, err := os.Stat(bin + "/was"); err != nil {
					t.Fatal("nothing was replaced")
				}
				same()
				s.finished(link)
				same()
				s.mustEqual()
			})
		}
	}
}
