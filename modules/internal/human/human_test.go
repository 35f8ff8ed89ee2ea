package human

import "testing"

func TestNumbersForReading(t *testing.T) {
	for got, want := range map[string]string{
		Bytes(0):                     "0 bytes",
		Bytes(999):                   "999 bytes",
		Bytes(1000):                  "1.0 kB",
		Bytes(999_949):               "999.9 kB",
		Bytes(999_950):               "1.0 MB",
		Bytes(int64(16_600_000_000)): "16.6 GB",
		Bytes(3.8e6):                 "3.8 MB",
		Number(-1234567):             "-1,234,567",
		Count(1, "row", "rows"):      "1 row",
		Count(0, "row", "rows"):      "0 rows",
		Count(12345, "row", "rows"):  "12,345 rows",
		Seconds(0.04):                "0.0 s",
		Seconds(1.24):                "1.2 s",
		Seconds(9.96):                "10 s",
		Seconds(89.4):                "89 s",
		Seconds(260):                 "4 min 20 s",
		Clip("short", 5):             "short",
		Clip("/srv/a/long/path", 9):  "/srv/a…th",
		Seconds(7500):                "2 h 5 min",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAWordOfAShell(t *testing.T) {
	for word, want := range map[string]string{"node1": "node1", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "/home/cidx/.cidx-server/config.json": "/home/cidx/.cidx-server/config.json", "$(x)": "'$(x)'"} {
		if got := Word(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}
