#!/bin/bash
# Every check that needs no running server. All run, then all failures are told.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()

# check NAME CMD… runs one check and shows its output only when it fails.
check() {
  local name=$1 output; shift
  if output=$("$@" 2>&1); then printf 'lint: %-22s ok\n' "$name"; return; fi
  printf 'lint: %-22s FAILED\n%s\n' "$name" "$output"
  failed+=("$name")
}

go_files()  { git ls-files --cached --others --exclude-standard -- '*.go'; }
formatted() { local bad; bad=$(go_files | xargs gofmt -l) && [ -z "$bad" ] || { echo "not formatted: $bad"; return 1; }; }

syntax() {
  local playbook
  for playbook in cluster-*.yml; do ansible-playbook --syntax-check -i localhost, "$playbook" || return 1; done
}

shell_syntax() { git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run | xargs -n1 bash -n; }

check gofmt           formatted
check 'go vet'        go vet ./...
check staticcheck     staticcheck ./...
check 'shell syntax'  shell_syntax
check 'playbook syntax' syntax
check yamllint        yamllint --strict .
check ansible-lint    ansible-lint --offline --profile production --strict

if [ ${#failed[@]} -gt 0 ]; then printf 'lint: failed: %s\n' "${failed[*]}"; exit 1; fi
