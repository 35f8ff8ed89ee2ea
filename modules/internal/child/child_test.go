package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Serve()
	os.Exit(m.Run())
}

var count = New("count", func(n int, tell func(int)) error {
	for i := range n {
		tell(i)
	}
	if n > 3 {
		return fmt.Errorf("%d is more than 3", n)
	}
	return nil
})

var die = New("die", func(how string, tell func(int)) error {
	tell(os.Getpid())
	if how == "hang" {
		select {}
	}
	os.Exit(0)
	return nil
})

var double = New("double", func(text string, tell func(string)) error { tell(text + text); return nil })

func TestAnswersComeInOrderAndAFaultAfterThem(t *testing.T) {
	for n, fault := range map[int]string{0: "", 3: "", 5: "5 is more than 3"} {
		var heard []int
		err := count.Ask(t.Context(), n, func(i int) { heard = append(heard, i) })
		if len(heard) != n || n > 0 && heard[n-1] != n-1 || fmt.Sprint(err) != map[bool]string{true: "<nil>", false: fault}[fault == ""] {
			t.Errorf("%d: heard %v, %v", n, heard, err)
		}
	}
}

func TestALargeQuestionIsAsked(t *testing.T) {
	long, got := strings.Repeat("ü", 500_000), ""
	if err := double.Ask(t.Context(), long, func(s string) { got = s }); err != nil || got != long+long {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestAChildThatHangsIsLeftAtTheDeadline(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := die.Ask(ctx, "hang", func(int) { cancel() })
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestAChildThatDiesIsNoAnswer(t *testing.T) {
	pid := 0
	if err := die.Ask(t.Context(), "", func(p int) { pid = p }); err == nil || !strings.Contains(err.Error(), "in the middle") || pid == os.Getpid() || pid == 0 {
		t.Errorf("pid %d: %v", pid, err)
	}
}

// A binary that does not serve would run itself again, with everything that it does.
func TestABinaryThatDoesNotServeIsNotStarted(t *testing.T) {
	serving = false
	t.Cleanup(func() { serving = true })
	begun := time.Now()
	if err := count.Ask(t.Context(), 1, func(int) { t.Error("asked") }); err == nil || time.Since(begun) > time.Minute {
		t.Error(err)
	}
}
