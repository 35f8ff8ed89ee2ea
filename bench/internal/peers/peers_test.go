package peers

import (
	"errors"
	"strings"
	"testing"
)

func TestAPeerWithoutAMeasurementHasAReasonAndNoRatio(t *testing.T) {
	var u Unmeasured
	u.Add("pgloader", "", Installed("no-such-program", "pgloader"))
	u.Add("rowwise", "1000 rows", errors.New("exit status 1:\n  No module named psycopg"))
	for name, c := range map[string]struct{ got, want string }{
		"not installed at all": {u.Result("vs_pgloader", "pgloader", "5 rows", 0, false), "NOT-MEASURED vs_pgloader no-such-program is not installed"},
		"failed at this size":  {u.Result("vs_rowwise", "rowwise", "1000 rows", 0, false), "NOT-MEASURED vs_rowwise exit status 1: No module named psycopg"},
		"nobody asked":         {u.Result("vs_rowwise", "rowwise", "7 rows", 0, false), "NOT-MEASURED vs_rowwise rowwise was not asked for"},
		"measured":             {u.Result("vs_rsync", "rsync", "", 2.5, true), "RESULT vs_rsync 2.50"},
		"the notes name both":  {u.Notes(), "\nNot measured:\n\n* pgloader: no-such-program is not installed"},
	} {
		if !strings.HasPrefix(c.got, c.want) {
			t.Errorf("%s: %q", name, c.got)
		}
	}
	if !strings.Contains(u.Notes(), "* rowwise at 1000 rows: ") {
		t.Errorf("notes: %s", u.Notes())
	}
}
