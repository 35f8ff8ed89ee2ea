# shellcheck shell=sh
# What is sent to the node before each call of the helper, after the line d=FOLDER: where the helper lies.
: "${d:?}"

# Root never starts a program that somebody else could have put there, nor writes one into a folder that somebody else
# can change. (Root of a user namespace, to whom / does not belong, is an ordinary user.)
owned() {
  # shellcheck disable=SC3067
  if [ "$(id -u)" != 0 ] || ! [ -O / ]; then return 0; fi
  set --
  part=$d
  while [ -n "$part" ]; do
    set -- "$@" "$part"
    part=${part%/*}
  done
  bad=$(find / "$@" -maxdepth 0 \( ! -uid 0 -o -type l -o -perm /022 ! -perm -1000 \) 2>/dev/null) || :
  [ -z "$bad" ] || { echo "not-roots: $bad"; exit 125; }
}

# take BUILD SUM installs the helper that comes on standard input, gzip'd, and removes old ones. It ends a line: before && the
# shell would go on after what fails.
# shellcheck disable=SC2317,SC2329
take() {
  set -e
  umask 077
  mkdir -p "$d"
  owned
  cd "$d"
  new=.h-$1.$$
  trap 'rm -f "$new"' EXIT
  gzip -dc >"$new"
  echo "$2  $new" | sha256sum -c - >/dev/null
  chmod 711 "$new"
  mv -f "$new" "h-$1"
  # shellcheck disable=SC2012
  ls -1t h-* | tail -n +4 | while read -r old; do rm -f "$old"; done
  "./h-$1" version
}

owned
