#!/bin/bash
# Migrates a realistic standalone server on this machine and shows it: the
# rehearsal, the migration, and what the judge says. Called by `make demo`.
#
#   e2e/demo.sh [--readme]      --readme puts the transcript into README.md
#
# Everything lies in $DEMO_DIR (default /tmp/cidx-demo) and is removed at the
# end; .build/demo keeps transcript and report.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${DEMO_DIR:-/tmp/cidx-demo}
out=.build/demo
sandbox=.build/bin/cidx-sandbox
export PATH="$PWD/.build/bin:$PATH"

bold='' plain=''
[ ! -t 1 ] || { bold=$'\033[1m' plain=$'\033[0m'; }

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# An ordinary user may mount the demo's share only in a namespace of its own.
if [ "$(id -u)" != 0 ] && [ -z "${CIDX_SANDBOX_ENTERED:-}" ]; then
  CIDX_SANDBOX_ENTERED=1 exec $sandbox enter "$0" "$@"
fi

cleanup() { $sandbox down -dir "$dir" || true; }
trap cleanup EXIT
trap 'exit 130' INT TERM

# show COMMAND… runs it as an operator would; keeps what it prints on standard
# output in transcript.txt. Ansible's warnings go to the terminal.
show() {
  say "$ $*"
  printf '$ %s\n' "$*" >> $out/transcript.txt
  "$@" | tee -a $out/transcript.txt
  echo >> $out/transcript.txt
}

rm -rf $out && mkdir -p $out
cleanup
say 'A standalone CIDX server, PostgreSQL and a share, all of this machine'
$sandbox up -dir "$dir" -cache .build/cache -owner $$ -fsync -repos 12 -rows 45 -files-per-repo 60
export HOME="$dir/home"
# shellcheck disable=SC1091
. "$dir/env.sh"

say 'The rehearsal: the server goes on serving, nothing changes'
show ansible-playbook cluster-migrate.yml -l node1 --check --diff

say 'The migration'
show ansible-playbook cluster-migrate.yml -l node1

say 'The judge, which shares no code with the tool'
CIDX_POSTGRES_DSN="postgresql://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE" \
  cidx-judge equal -home "$dir/home/.cidx-server" -share "$dir/share" -running | tee $out/verdict.txt

cp -r "$dir"/reports $out/
sed -n '/^\$ ansible-playbook cluster-migrate.yml -l node1$/,$p' $out/transcript.txt | sed "s#$dir#/tmp/cidx-demo#g" > $out/migration.txt
build/readme.sh ${1:---check}
say "Transcript: $out/transcript.txt"
echo "Report: $(find $out/reports -name report.html)"
