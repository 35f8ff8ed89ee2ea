#!/bin/bash
# Keeps README.md's transcript true.
#
#   build/readme.sh --check     the transcript in README.md has the shape of the last demo's
#   build/readme.sh --readme    put the last demo's transcript into README.md
#
# Shape: the same lines once numbers, sizes, times and passing progress are taken out.
set -euo pipefail
cd "$(dirname "$0")/.."

migration=.build/demo/migration.txt
begin='<!-- transcript: make demo README=1 -->'
end='<!-- end of transcript -->'

shape() { sed -E 's/[0-9]+([.,][0-9]+)*/N/g; s/N ?(B|kB|KB|MB|GB|KiB|MiB|GiB|TB|ms|s)\b/N/g; s/ +/ /g; s/ $//' | grep -v -E '^ *$|^ *\[ *(N|\.\.)%\]|^ *Done in ' || true; }
# Of a long paragraph the heading, the first and the last line; what comes at the end as a whole.
elide() { awk -v RS= -F'\n' '{ if (NR > 1) print ""; whole = NF < 6 || /^(Migration complete|Rollback)/
    for (i = 1; i <= NF; i++) if (whole || i < 3 || i == NF) print $i; else if (i == 3) print "  …" }' <(grep -v -E '^ *\[ *[0-9.]+%\]|^ *Done in ' $migration); }
in_readme() { sed -n "/^$begin\$/,/^$end\$/p" README.md | sed '1,2d;$d' | sed '$d'; }

case ${1:---check} in
  --readme)
    { sed "/^$begin\$/q" README.md; echo '```console'; elide; echo '```'; sed -n "/^$end\$/,\$p" README.md; } > README.md.new
    mv README.md.new README.md
    echo 'README.md: transcript refreshed'
    ;;
  --check)
    if ! diff -u <(in_readme | shape) <(elide | shape); then
      echo 'README.md: its transcript differs from this run: make demo README=1' >&2
      exit 1
    fi
    ;;
  *) echo "usage: build/readme.sh --check | --readme" >&2; exit 2 ;;
esac
