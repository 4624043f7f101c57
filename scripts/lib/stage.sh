# shellcheck shell=bash
# Stages: one line each with its time, the output in build/logs/, its tail only when it fails.
# Sourced by scripts/demo and scripts/test from the root of the repository.

export LC_ALL=C.UTF-8 # numbers with a point, messages in English
LOGS=build/logs
stage_status=0 # of the latest stage
failed_stages=()

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# stage NAME COMMAND...: runs COMMAND with errexit in a subshell. Returns 0 whatever came of it, so
# that the next stage can run; the outcome is in stage_status and failed_stages.
stage() {
  local name=$1 start=$EPOCHREALTIME log line
  shift
  log=$LOGS/$(tr -cs 'A-Za-z0-9+\n' '-' <<<"$name").log
  mkdir -p "$LOGS"
  printf '%-46s' "$name"
  set +e
  (
    set -e
    "$@"
  ) >"$log" 2>&1 </dev/null
  stage_status=$?
  set -e
  if ((stage_status == 0)); then
    printf '%8s s\n' "$(seconds_since "$start")"
  else
    printf '%8s s  FAILED\n' "$(seconds_since "$start")"
    failed_stages+=("$name")
    tail -n 40 "$log" | sed 's/^/    /'
    printf '    (all of it: %s)\n' "$log"
  fi
  # The closing line of ctest or pytest stands for the stage's tests.
  line=$(grep -E '^[0-9]+% tests passed|^[0-9]+ (passed|failed|error).* in [0-9.]+s' "$log" | tail -n 1) || line=
  if [[ -n $line ]]; then printf '    %s\n' "$line"; fi
}

# require_stage: as stage, and the script ends when it fails.
require_stage() {
  stage "$@"
  if ((stage_status != 0)); then exit 1; fi
}
