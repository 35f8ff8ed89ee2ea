package job

import (
	"testing"

	"cidx-cluster/modules/internal/progress"
)

func TestStatusText(t *testing.T) {
	for want, s := range map[string]progress.Status{
		"[ 33%] audit_logs 120,000 / 360,000 rows, 41,000 rows/s, 6.0 s left": {What: "audit_logs", Done: 120000, Total: 360000, Unit: "rows", Rate: 41000.4, ETA: 5.6},
		"[ 50%] golden-repos 4.2 GB / 8.4 GB, 110.0 MB/s, 39 s left, 3 of 12": {What: "golden-repos", Done: 4.2e9, Total: 8.4e9, Unit: "bytes", Rate: 110e6, ETA: 38.2, Note: "3 of 12"},
		"[100%] users 45 / 45 rows":                                                      {What: "users", Done: 45, Total: 45, Unit: "rows"},
		"[ 99%] users 999 / 1,000 rows":                                                  {What: "users", Done: 999, Total: 1000, Unit: "rows"},
		"[  0%] files 0 / 7 files":                                                       {What: "files", Total: 7, Unit: "files"},
		"[ ..%] scanning 1,234 files":                                                    {What: "scanning", Done: 1234, Unit: "files"},
		"[ ..%] waiting":                                                                 {What: "waiting"},
		"[ 10%] x 100 bytes / 1.0 kB, 1 min 40 s left":                                   {What: "x", Done: 100, Total: 1000, Unit: "bytes", ETA: 100},
		"[ 10%] x 1 / 10 files, 2 h 5 min left":                                          {What: "x", Done: 1, Total: 10, Unit: "files", ETA: 7500},
		"[100%] x 11 / 10 files":                                                         {What: "x", Done: 11, Total: 10, Unit: "files"},
		"[ 41%] audit_logs 10 / 360 rows, 6.0 s left":                                    {What: "audit_logs", Done: 10, Total: 360, Unit: "rows", ETA: 5.6, Whole: 0.419},
		"[ 50%] building indexes, CREATE INDEX":                                          {What: "building indexes", Unit: "rows", Whole: 0.5, Note: "CREATE INDEX"},
		"[ 16%] files 1.6 MB / 9.9 MB, 3.0 MB/s, 3.0 s left, 747 of 4,573 files":         {What: "files", Done: 1.6e6, Total: 9.9e6, Unit: "bytes", Rate: 3e6, ETA: 3, Note: "747 of 4,573 files, 579.7 kB compared"},
		"[ 12%] golden_repo_reconcile_auto_heal_event 1,500,000 / 12,500,000 rows":       {What: "golden_repo_reconcile_auto_heal_event", Done: 1500000, Total: 12500000, Unit: "rows", ETA: 7500},
		"[ ..%] removing /home/cidx/.cidx-server/data/golden-re….pre-cluster/.versioned": {What: "removing /home/cidx/.cidx-server/data/golden-repos.pre-cluster/.versioned"},
	} {
		if got := statusText(s); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestCrashText(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"run-time errors are shown":     {"panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.f()\n", "panic: runtime error: index out of range [5] with length 3\ngoroutine 1 [running]:\nmain.f()"},
		"other panics are withheld":     {"panic: open with hunter22\nsecond hunter22 line\n\ngoroutine 1 [running]:\nmain.f()\n", "panic: (text withheld)\ngoroutine 1 [running]:\nmain.f()"},
		"fatal errors are shown":        {"fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [select]:\n", "fatal error: all goroutines are asleep - deadlock!\ngoroutine 1 [select]:"},
		"what is no crash is not shown": {"some log with hunter22\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CrashText(test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
