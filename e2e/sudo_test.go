package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// sudoPassword is that of the operator who becomes root by sudo.
const sudoPassword = "correct horse 9"

// operatorsEtc makes an ordinary account, who may become root with a password, in a
// mount namespace of its own, and runs the rest of its arguments as that account: this
// machine's /etc stays as it is.
//
//	bash -c operatorsEtc operator FOLDER PASSWORD COMMAND…
const operatorsEtc = `set -eu
mount --make-rprivate /
mkdir "$1" "$1/up" "$1/work" "$1/home" "$1/checkout"
mount --bind "$PWD" "$1/checkout" # which may lie where ann has no way to
cd "$1/checkout"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/up,workdir=$1/work" /etc
useradd --no-create-home --home-dir "$1/home" --uid 1700 --shell /bin/bash ann
printf 'ann:%s\n' "$2" | chpasswd
echo 'ann ALL=(root) /bin/sh' > /etc/sudoers.d/ann
chown -R ann: "$1/home"
export HOME="$1/home" USER=ann ANSIBLE_HOME="$1/home/.ansible" ANSIBLE_LOCAL_TEMP="$1/home/.ansible/tmp"
shift 2
exec setpriv --reuid ann --regid ann --clear-groups "$@"
`

// bySudo makes cmd one of an ordinary user who types a password when asked for
// sudo's (-K). It has no terminal, so what is typed comes from standard input.
func (st *stage) bySudo(cmd *exec.Cmd, typed string) error {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(st.box.Dir, "operator-") // a run that fails leaves an account behind
	if err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	words := append([]string{"unshare", "--mount", "bash", "-c", operatorsEtc, "operator", filepath.Join(folder, "etc"), sudoPassword}, cmd.Args...)
	cmd.Path, cmd.Args = unshare, words
	cmd.Stdin = strings.NewReader(typed + "\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return nil
}
