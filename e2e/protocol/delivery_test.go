package protocol

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestHelperIsInstalledOnceByChecksum(t *testing.T) {
	s := newStage(t)
	if out, code := s.play(s.task(map[string]any{})); code != 0 {
		t.Fatal(out)
	}
	path := filepath.Join(s.cache, "h-trial")
	first, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.Stat(s.cache)
	if err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("the cache has mode %v, %v", folder.Mode(), err)
	}
	if out, code := s.play(s.task(map[string]any{})); code != 0 {
		t.Fatal(out)
	}
	if again, err := os.Stat(path); err != nil || !os.SameFile(first, again) {
		t.Errorf("installed again: %v", err)
	}
}

func TestBrokenCacheIsRepaired(t *testing.T) {
	for name, spoil := range map[string]func(path string, helper []byte) error{
		"missing":        func(path string, _ []byte) error { return os.Remove(path) },
		"empty":          func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o700) },
		"truncated":      func(path string, helper []byte) error { return os.WriteFile(path, helper[:len(helper)/2], 0o700) },
		"garbage":        func(path string, _ []byte) error { return os.WriteFile(path, []byte("#!/bin/false\n"), 0o700) },
		"not executable": func(path string, _ []byte) error { return os.Chmod(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			if out, code := s.play(s.task(map[string]any{})); code != 0 {
				t.Fatal(out)
			}
			path := filepath.Join(s.cache, "h-trial")
			if err := os.Remove(path); err != nil { // a running job may still map the file
				t.Fatal(err)
			}
			if err := os.WriteFile(path, s.helper, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := spoil(path, s.helper); err != nil {
				t.Fatal(err)
			}
			out, code := s.play(s.task(map[string]any{}))
			if code != 0 {
				t.Fatal(out)
			}
			if raw, err := os.ReadFile(path); err != nil || len(raw) != len(s.helper) {
				t.Errorf("%d bytes, %v", len(raw), err)
			}
		})
	}
}

func TestWrongDeliveriesAreRefused(t *testing.T) {
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	for name, test := range map[string]struct {
		prepare func(*stage)
		want    []string
	}{
		"no helper for this architecture": {
			func(s *stage) { s.ship(map[string][]byte{other: s.helper}) },
			[]string{"node1 is Linux ", "the helper is built for Linux on "},
		},
		"the checksum does not match": {
			func(s *stage) { s.manifest("trial", map[string]string{runtime.GOARCH: strings.Repeat("0", 64)}) },
			[]string{"the helper cannot be installed into", "Set cidx_helper_dir to a folder"},
		},
		"the cache cannot be made": {
			func(s *stage) { s.write(s.cache, "a file where the folder should be") },
			[]string{"the helper cannot be installed into", "Set cidx_helper_dir to a folder"},
		},
		"nothing was built": {
			func(s *stage) {
				if err := os.Remove(filepath.Join(s.dir, "files/cidx-helper.json")); err != nil {
					s.Fatal(err)
				}
			},
			[]string{"the helper is not built: run 'make modules' first"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			test.prepare(s)
			out, code := s.play(s.task(map[string]any{}))
			if code != 2 {
				t.Errorf("exit code %d", code)
			}
			wantAll(t, out, test.want...)
			if left, _ := filepath.Glob(filepath.Join(s.cache, "*h-*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestOldBuildsArePruned(t *testing.T) {
	s := newStage(t)
	for _, old := range []string{"h-1", "h-2", "h-3", "h-4"} {
		s.write(filepath.Join(s.cache, old), "x")
	}
	if out, code := s.play(s.task(map[string]any{})); code != 0 {
		t.Fatal(out)
	}
	left, err := filepath.Glob(filepath.Join(s.cache, "h-*"))
	if err != nil || len(left) != 3 {
		t.Errorf("left are %q, %v", left, err)
	}
}

func TestBecomeAnUnprivilegedUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who may become anybody")
	}
	if _, err := user.Lookup("nobody"); err != nil {
		t.Skip("no user nobody")
	}
	s := newStage(t)
	for path := filepath.Dir(s.dir); path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out, code := s.play("    - cidx.cluster.cidx_trial: {home: /nonexistent}\n      become: true\n      become_user: nobody\n      become_method: su\n      become_flags: -s /bin/sh\n")
	if code != 0 {
		t.Fatal(out)
	}
	info, err := os.Stat(filepath.Join(s.cache, "h-trial"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := ownerOf(info); owner == 0 {
		t.Error("root installed the helper")
	}
}
