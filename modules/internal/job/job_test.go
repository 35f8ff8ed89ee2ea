package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/problem"
)

func TestJobRunsAndIsFollowed(t *testing.T) {
	n := newNode(t)
	id := n.mustStart(Request{Module: "m", Home: "/h"}, "say=one say=two")
	lines, reply := n.lines(id)
	if strings.Join(lines, " ") != "one two" || reply["failed"] != false {
		t.Errorf("got %q %v", lines, reply)
	}
	again, _ := n.lines(id)
	if len(again) != 2 {
		t.Errorf("a second follower from the start got %q", again)
	}
}

func TestAStatusIsNeverToldAfterALineThatCameLater(t *testing.T) {
	n := newNode(t)
	id := n.mustStart(Request{Module: "m", Home: "/h"}, "status=rows say=end")
	n.lines(id)
	news, _, err := since(filepath.Join(n.jobs(), id), 0)
	if err != nil || len(news.Events) != 1 || news.Events[0].Line == nil {
		t.Errorf("got %+v, %v", news.Events, err)
	}
}

func TestArgumentsStayOffTheDisk(t *testing.T) {
	n := newNode(t)
	id := n.mustStart(Request{Module: "m", Home: "/h", Hash: "h"}, "hunter22")
	n.lines(id)
	err := filepath.WalkDir(n.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if raw, _ := os.ReadFile(path); strings.Contains(string(raw), "hunter22") {
			t.Errorf("%s holds the arguments", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFollowTellsLinesWhileTheJobRuns(t *testing.T) {
	n := newNode(t)
	id := n.mustStart(Request{Module: "m", Home: "/h"}, "say=early status=rows await="+n.flag+" say=late")
	news, err := n.Follow(context.Background(), id, 0)
	if err != nil || news.Done || len(news.Events) == 0 || *news.Events[0].Line != "early" {
		t.Fatalf("got %+v, %v", news, err)
	}
	os.WriteFile(n.flag, nil, 0o600)
	if lines, _ := n.lines(id); strings.Join(lines, " ") != "early late" {
		t.Errorf("got %q", lines)
	}
}

func TestSameCallAttachesAndAnotherIsRefused(t *testing.T) {
	n := newNode(t)
	work := "await=" + n.flag
	first := n.mustStart(Request{Module: "m", Home: "/h"}, work)
	if second := n.mustStart(Request{Module: "m", Home: "/h"}, work); second != first {
		t.Errorf("the same call started %s beside %s", second, first)
	}
	_, err := n.start(Request{Module: "m", Home: "/h"}, work+" say=more")
	var p problem.Problem
	if !errors.As(err, &p) || !strings.Contains(p.What, first) || p.Fix == "" {
		t.Errorf("other arguments: got %v", err)
	}
	if other := n.mustStart(Request{Module: "m", Home: "/h", Check: true}, "say=x"); other == first {
		t.Error("a rehearsal attached to a real job")
	}
	if other := n.mustStart(Request{Module: "m", Home: "/elsewhere"}, "say=x"); other == first {
		t.Error("another home attached")
	}
}

func TestAJobThatHasRepliedIsInNobodysWay(t *testing.T) {
	n := newNode(t)
	first := n.mustStart(Request{Module: "m", Home: "/h"}, "say=one")
	n.lines(first)
	var lingering *os.File // as its process does that has not ended yet
	n.eventually("the first job to end", func() bool {
		f, err := lockFile(filepath.Join(n.jobs(), first, "lock"), unix.LOCK_EX)
		lingering = f
		return err == nil
	})
	defer lingering.Close()
	second := n.mustStart(Request{Module: "m", Home: "/h"}, "say=two")
	if lines, _ := n.lines(second); strings.Join(lines, " ") != "two" {
		t.Errorf("got %q", lines)
	}
}

func TestRealJobsOfOneHomeRunOneAfterTheOther(t *testing.T) {
	n := newNode(t)
	first := n.mustStart(Request{Module: "a", Home: "/h"}, "say=begun await="+n.flag)
	if _, err := n.Follow(context.Background(), first, 0); err != nil { // it has the home
		t.Fatal(err)
	}
	second := n.mustStart(Request{Module: "b", Home: "/h"}, "say=second")
	n.eventually("the waiting to be told", func() bool {
		news, _, err := since(filepath.Join(n.jobs(), second), 0)
		return err == nil && len(news.Events) == 1 && strings.Contains(news.Events[0].Text, "waiting for a job that an earlier run left: ")
	})
	os.WriteFile(n.flag, nil, 0o600)
	if lines, _ := n.lines(second); len(lines) != 1 {
		t.Errorf("got %q", lines)
	}
}

func TestARehearsalNeverDelaysARealRun(t *testing.T) {
	n := newNode(t)
	n.mustStart(Request{Module: "a", Home: "/h", Check: true}, "say=begun await="+n.flag)
	n.lines(n.mustStart(Request{Module: "a", Home: "/h"}, "say=real"))
}

func TestKilledJobIsToldWithItsLastWords(t *testing.T) {
	n := newNode(t)
	id := n.mustStart(Request{Module: "m", Home: "/h"}, "say=begun await="+n.flag)
	news, err := n.Follow(context.Background(), id, 0)
	if err != nil || len(news.Events) == 0 {
		t.Fatalf("got %+v, %v", news, err)
	}
	if err := syscall.Kill(n.pid(id), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, reply := n.lines(id)
	if reply["failed"] != true || reply["changed"] != true || !strings.Contains(fmt.Sprint(reply["msg"]), "helper was killed") || !strings.Contains(fmt.Sprint(reply["msg"]), "begun") {
		t.Errorf("got %v", reply)
	}
}

func TestCrashIsToldWithoutItsText(t *testing.T) {
	n := newNode(t)
	id := n.mustStart(Request{Module: "m", Home: "/h"}, "crash")
	_, reply := n.lines(id)
	if msg := fmt.Sprint(reply["msg"]); !strings.Contains(msg, "goroutine") || strings.Contains(msg, "secret-in-a-panic") {
		t.Errorf("got %v", msg)
	}
	if raw, _ := os.ReadFile(filepath.Join(n.jobs(), id, "crash")); strings.Contains(string(raw), "secret-in-a-panic") {
		t.Error("the text of the panic stayed on disk")
	}
}

func TestSignals(t *testing.T) {
	for name, test := range map[string]struct {
		signal      syscall.Signal
		interrupted bool
	}{
		"a hang-up does not reach a job":    {syscall.SIGHUP, false},
		"a request to end interrupts a job": {syscall.SIGTERM, true},
		"an interrupt key interrupts a job": {syscall.SIGINT, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			id := n.mustStart(Request{Module: "m", Home: "/h"}, "say=begun await="+n.flag)
			if _, err := n.Follow(context.Background(), id, 0); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(n.pid(id), test.signal); err != nil {
				t.Fatal(err)
			}
			if !test.interrupted {
				os.WriteFile(n.flag, nil, 0o600)
			}
			if _, reply := n.lines(id); reply["interrupted"] != test.interrupted {
				t.Errorf("got %v", reply)
			}
		})
	}
}

func TestJobIsDetached(t *testing.T) {
	n := newNode(t)
	id := n.mustStart(Request{Module: "m", Home: "/h"}, "await="+n.flag)
	pid := n.pid(id)
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("session of the job is %d, %v; its own is %d", session, err, pid)
	}
	for fd, want := range map[int]string{1: os.DevNull, 2: os.DevNull} {
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); got != want {
			t.Errorf("fd %d is %q, %v", fd, got, err)
		}
	}
}

func TestFinishedJobsArePruned(t *testing.T) {
	n := newNode(t)
	old := n.mustStart(Request{Module: "m", Home: "/h", Time: time.Now().Add(-2 * keepTime)}, "say=old")
	n.lines(old)
	n.eventually("its end", func() bool { return !n.living(old) })
	living := n.mustStart(Request{Module: "k", Home: "/k", Time: time.Now().Add(-2 * keepTime)}, "await="+n.flag)
	n.lines(n.mustStart(Request{Module: "m", Home: "/h"}, "say=new"))
	ids := strings.Join(n.ids(), " ")
	if strings.Contains(ids, old) || !strings.Contains(ids, living) {
		t.Errorf("left are %s", ids)
	}
	if _, err := n.Follow(context.Background(), old, 0); err == nil || !strings.Contains(err.Error(), "no job") {
		t.Errorf("following a pruned job: %v", err)
	}
}

func TestIDsAreNoPaths(t *testing.T) {
	n := newNode(t)
	for _, id := range []string{"", ".", "..", "../jobs", "/etc"} {
		if _, err := n.Follow(context.Background(), id, 0); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

func TestBigRepliesAndLongLinesArrive(t *testing.T) {
	n := newNode(t)
	long := strings.Repeat("y", batch/2)
	lines, reply := n.lines(n.mustStart(Request{Module: "m", Home: "/h"}, "say="+long+" say="+long+" say=z bytes=500000"))
	if len(lines) != 3 || lines[2] != "z" || len(fmt.Sprint(reply["pad"])) != 500000 {
		t.Errorf("got %d lines, reply of %d keys", len(lines), len(reply))
	}
}

func TestReplyThatDoesNotFitIsShortened(t *testing.T) {
	var short map[string]any
	if err := json.Unmarshal(shorten([]byte(`{"failed":true,"msg":"m","pad":"xxxx","lines":["a"]}`)), &short); err != nil {
		t.Fatal(err)
	}
	if short["msg"] != "m" || short["failed"] != true || short["pad"] != nil || short["warnings"] == nil {
		t.Errorf("got %v", short)
	}
}

func TestFingerprintIgnoresWhatIsNotWork(t *testing.T) {
	base := map[string]any{"home": "/h", "_ansible_check_mode": false, "_ansible_verbosity": 0, RunArgument: map[string]any{"id": "a"}}
	same := map[string]any{"home": "/h", "_ansible_check_mode": false, "_ansible_verbosity": 4, RunArgument: map[string]any{"id": "b"}}
	other := map[string]any{"home": "/h", "_ansible_check_mode": true}
	if Fingerprint(base) != Fingerprint(same) || Fingerprint(base) == Fingerprint(other) {
		t.Error("fingerprints do not tell work apart")
	}
}
