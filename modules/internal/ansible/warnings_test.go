package ansible

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWarningsOfOneKindAreCountedAndAllAreInTheReply(t *testing.T) {
	all := []string{"git is not installed"}
	for i := range 9 {
		all = append(all, fmt.Sprintf("/srv/a b %c/link: symbolic link points out of the copied folders: /x/%d; other nodes do not have it", 'a'+rune(i), i))
	}
	for i := range 6 {
		all = append(all, fmt.Sprintf("repository \"name of %c\" has %d users", 'a'+rune(i), i))
	}
	all = append(all, "the share is exported with root_squash")
	reply := call(t, `{"home":"/h"}`, func(context.Context, every, Mode) (Reply, error) { return Reply{Warnings: all}, nil })
	want := []any{all[0]}
	for i := 1; i <= 5; i++ {
		want = append(want, all[i])
	}
	want = append(want, "4 more like these five: …: symbolic link points out of the copied folders: …; other nodes do not have it (all 9 are in the report)")
	for i := 10; i < 17; i++ { // six are shown rather than "1 more"
		want = append(want, all[i])
	}
	if diff := cmp.Diff(want, reply["warnings"]); diff != "" {
		t.Error(diff)
	}
	if got := reply["all_warnings"].([]any); len(got) != len(all) || got[9] != all[9] {
		t.Errorf("in the reply: %q", got)
	}
}
