#!/bin/sh
# Builds the helper: files/cidx-helper-linux-<arch>.gz and files/cidx-helper.json
# for the action plugin, build/cidx-helper for this machine, and build/library/
# for use as native modules (ansible -M build/library -m cidx_precheck).
# The same sources give the same bytes; nothing is done when they are built.
#
# usage: build/helper.sh [arch...]     (default: amd64 arm64)
set -eu
cd "$(dirname "$0")/.."
archs=${*:-amd64 arm64}
mkdir -p build/library files
exec 9>build/.lock
flock 9

# The build id is a digest of everything that goes into the binary.
sources() {
    find go.mod go.sum modules -type f ! -name '*_test.go' ! -path '*/testdata/*' ! -path '*/trial/*' | LC_ALL=C sort
}
version=$(sed -n 's/^version: //p' galaxy.yml) # the only place where it stands
id=$({ go env GOVERSION; echo "$version"; sources | tr '\n' '\0' | xargs -0 sha256sum; } | sha256sum | cut -c1-16)

host=$(go env GOHOSTARCH)
complete=yes
[ -x build/cidx-helper ] || complete=no
for arch in $archs; do
    grep -qs "\"build\": \"$id\"" files/cidx-helper.json &&
        grep -q "\"$arch\": " files/cidx-helper.json &&
        [ -s "files/cidx-helper-linux-$arch.gz" ] || complete=no
done
[ "$complete" = no ] || exit 0

compile() { # arch output
    CGO_ENABLED=0 GOOS=linux GOARCH=$1 go build -trimpath -buildvcs=false \
        -ldflags "-s -w -buildid= -X cidx-cluster/modules/internal/ansible.Build=$id -X cidx-cluster/modules/internal/ansible.Version=$version" -o "$2" ./modules
}

sums=
for arch in $archs; do
    compile "$arch" "build/cidx-helper-$arch"
    gzip -n -9 -c "build/cidx-helper-$arch" > "files/.cidx-helper-linux-$arch.gz"
    mv -f "files/.cidx-helper-linux-$arch.gz" "files/cidx-helper-linux-$arch.gz"
    sum=$(sha256sum < "build/cidx-helper-$arch" | cut -d' ' -f1)
    sums="$sums${sums:+,}
    \"$arch\": \"$sum\""
done
case " $archs " in
*" $host "*) mv -f "build/cidx-helper-$host" build/cidx-helper ;;
*) compile "$host" build/cidx-helper ;;
esac
for arch in $archs; do rm -f "build/cidx-helper-$arch"; done

printf '{\n  "build": "%s",\n  "sha256": {%s\n  }\n}\n' "$id" "$sums" > files/.cidx-helper.json
mv -f files/.cidx-helper.json files/cidx-helper.json

rm -f build/library/*
for module in modules/cidx_*; do ln -s ../cidx-helper "build/library/${module#modules/}"; done
