package ansible

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The helper lies in a folder that is root's alone; a module that has become
// another user starts it again for each probe of the share.
func TestAModuleThatBecameAnotherUserCanStartItsProgramAgain(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user needs root")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "helper")
	if out, err := exec.Command("go", "build", "-o", program, "./trial").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "module", "cidx_trial")
	cmd.Stdin = strings.NewReader(`{"home": "/h", "service_user": "nobody", "act": "become"}`)
	cmd.Env = append(os.Environ(), "CIDX_HELPER_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	var reply struct {
		Failed bool   `json:"failed"`
		Msg    string `json:"msg"`
	}
	if err != nil || json.Unmarshal(out, &reply) != nil || reply.Failed || reply.Msg != "started as nobody" {
		t.Errorf("%v: %s", err, out)
	}
}
