#!/bin/bash
# The checks of a release that take too long for every test run: the newest
# ansible-lint and ansible-core, ansible-test sanity and galaxy-importer, each from
# PyPI in an environment of its own below .build/. All run, then all failures are told.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()
check() {
  local name=$1; shift
  if "$@" >".build/release-check.log" 2>&1; then printf 'release: %-20s ok\n' "$name"; return; fi
  printf 'release: %-20s FAILED\n' "$name"
  tail -n 60 .build/release-check.log
  failed+=("$name")
}

# environment NAME PACKAGE… makes a Python environment once.
environment() {
  local folder=.build/venv-$1; shift
  [ -x "$folder/bin/ansible-galaxy" ] || { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"; }
}

tarball=$PWD/$(find .build/collection -name '*.tar.gz' -newer galaxy.yml | sort | tail -n1)
[ -f "$tarball" ] || tarball=$PWD/$(find .build/collection -name '*.tar.gz' | sort | tail -n1)
venv=$PWD/.build/venv-release
home=$PWD/.build/release-home
tree=$PWD/.build/release-tree/ansible_collections/cidx/cluster

# The collection itself is found in the unpacked tree and nowhere else.
export ANSIBLE_COLLECTIONS_PATH=$PWD/.build/release-tree

# What is tested is the tarball, unpacked.
unpacked() { rm -rf .build/release-tree && mkdir -p "$tree" && tar -xzf "$tarball" -C "$tree"; }

# ansible-test fetches pip's bootstrap script from a place of its own, unless it has kept it
# before: what it finds instead takes the pip that comes with Python, then the one wanted.
bootstrap() {
  local requirements version kept
  requirements=$("$venv/bin/python" -c 'import ansible_test._internal.python_requirements as r; print(r.__file__)')
  version=$(sed -n "s/^ *pip='\([0-9.]*\)'.*/\1/p" "$requirements" | head -n1)
  kept=$home/.ansible/test/cache/get_pip_${version//./_}.py
  mkdir -p "$(dirname "$kept")"
  cat >"$kept" <<'SCRIPT'
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip"])
words = [w for w in sys.argv[1:] if w not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install"] + words)
SCRIPT
}

# tests/sanity/ignore-*.txt in the collection says what is ignored, and why.
sanity() {
  bootstrap || return 1
  (cd "$tree" && git init -q . && git add -A &&
    HOME=$home PATH="$venv/bin:/usr/bin:/bin" "$venv/bin/ansible-test" sanity --color no --exclude files/)
}

importer() {
  (cd .build && PATH="$venv/bin:$PATH" "$venv/bin/python" -m galaxy_importer.main "$tarball")
}

# ansible-lint takes no release of ansible-core that its makers have given up; 2.14 is Debian 12's, and tried.
lint() {
  (cd "$tree" && PATH="$venv/bin:$PATH" "$venv/bin/ansible-lint" --offline --profile production --strict -x 'meta-runtime[unsupported-version]')
}

check 'newest tools'    environment release ansible-core ansible-lint galaxy-importer
check 'unpack tarball'  unpacked
check 'ansible-lint'    lint
check 'sanity'          sanity
check 'galaxy-importer' importer

if [ ${#failed[@]} -gt 0 ]; then printf 'release: failed: %s\n' "${failed[*]}"; exit 1; fi
