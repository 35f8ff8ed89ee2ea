package tree

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func sampleDir() *Dir {
	return &Dir{
		Path: "a/b", Self: Entry{Mode: unix.S_IFDIR | 0o2755, UID: 1000, GID: 100, Mtime: -5},
		Entries: []Entry{
			{Name: "file\n\xff", Mode: unix.S_IFREG | 0o644, UID: 1, GID: 2, Size: 1 << 40, Mtime: 1_767_312_000_123_456_789, Ctime: 1_767_312_000_123_456_000, Ino: 1 << 60, Nlink: 2},
			{Name: "folder", Mode: unix.S_IFDIR},
			{Name: "link", Mode: unix.S_IFLNK | 0o777, UID: 3, Mtime: 7, Link: "../x"},
		},
	}
}

func TestDecodeIsTheReverseOfEncode(t *testing.T) {
	want := sampleDir()
	got, err := Decode("a/b", want.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestEncodeTellsWhatMatters(t *testing.T) {
	base := string(sampleDir().Encode())
	cases := map[string]struct {
		change func(*Dir)
		same   bool
	}{
		"a file's ctime":                {func(d *Dir) { d.Entries[0].Ctime++ }, false},
		"a file's inode":                {func(d *Dir) { d.Entries[0].Ino++ }, false},
		"a file's mtime by 1 ns":        {func(d *Dir) { d.Entries[0].Mtime++ }, false},
		"a file's owner":                {func(d *Dir) { d.Entries[0].GID++ }, false},
		"a link's target":               {func(d *Dir) { d.Entries[2].Link += "y" }, false},
		"the folder's own mode":         {func(d *Dir) { d.Self.Mode++ }, false},
		"a folder in it that vanishes":  {func(d *Dir) { d.Entries = d.Entries[:1] }, false},
		"a folder's times, told by it":  {func(d *Dir) { d.Entries[1].Mtime++ }, true},
		"a device number after a boot":  {func(d *Dir) { d.Entries[0].Dev++ }, true},
		"a link's ctime, after a chown": {func(d *Dir) { d.Entries[2].Ctime++ }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := sampleDir()
			c.change(d)
			if got := string(d.Encode()) == base; got != c.same {
				t.Errorf("same state: %v, want %v", got, c.same)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sampleDir().Encode())
	f.Add([]byte{})
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := Decode("x", raw) // must not panic, nor take memory without end
		if err == nil && len(d.Entries) > len(raw) {
			t.Errorf("%d entries from %d bytes", len(d.Entries), len(raw))
		}
	})
}

func TestDiffers(t *testing.T) {
	file := Entry{Mode: unix.S_IFREG | 0o640, Size: 3, Mtime: 1_500_000_001, UID: 1, GID: 2}
	cases := map[string]struct {
		change func(*Entry)
		grain  int64
		differ bool
	}{
		"nothing":                              {func(*Entry) {}, 1, false},
		"inode and ctime mean nothing":         {func(e *Entry) { e.Ino, e.Ctime = 9, 9 }, 1, false},
		"1 ns on a precise share":              {func(e *Entry) { e.Mtime-- }, 1, true},
		"1 ns on a share of whole seconds":     {func(e *Entry) { e.Mtime = 1_000_000_000 }, 1_000_000_000, false},
		"a second on a share of whole seconds": {func(e *Entry) { e.Mtime = 2_000_000_000 }, 1_000_000_000, true},
		"setgid":                               {func(e *Entry) { e.Mode |= unix.S_ISGID }, 1, true},
		"another kind":                         {func(e *Entry) { e.Mode = unix.S_IFDIR | 0o640 }, 1, true},
		"shorter":                              {func(e *Entry) { e.Size-- }, 1, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			other := file
			c.change(&other)
			if why := file.Differs(&other, c.grain); (why != "") != c.differ {
				t.Errorf("difference %q, want one: %v", why, c.differ)
			}
		})
	}
}
