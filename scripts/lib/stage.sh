# shellcheck shell=bash
# Stages: one line each with its time, the output in build/logs/, and its last lines only if it
# fails. On a shared machine, the CPU seconds say more than the elapsed ones.
# Sourced by the programs in scripts/ from the root of the repository.

export LC_ALL=C.UTF-8 # numbers with a point, messages in English
LOGS=build/logs
stage_status=0 # of the latest stage
failed_stages=()

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# run_in_subshell COMMAND...: runs COMMAND with errexit and its output to file descriptor 4, and
# prints its elapsed and CPU seconds to descriptor 3.
run_in_subshell() {
  local TIMEFORMAT='%1R %1U %1S'
  # In braces: the subshell itself would print the time into the output of COMMAND.
  {
    time {
      (
        set -e
        "$@"
      ) 1>&4 2>&4 3>&- 4>&-
    }
  } 2>&3
}

# stage NAME COMMAND...: runs COMMAND. Returns 0 even if it fails, so that the next stage can run;
# the result is in stage_status and failed_stages. Shows output lines that begin with "not tested:".
stage() {
  local name=$1 log line seconds user system
  shift
  log=$LOGS/$(tr -cs 'A-Za-z0-9+\n' '-' <<<"$name").log
  mkdir -p "$LOGS"
  printf '%-46s' "$name"
  set +e
  run_in_subshell "$@" 3>"$log.seconds" 4>"$log" </dev/null
  stage_status=$?
  set -e
  read -r seconds user system <<<"$(tail -n 1 "$log.seconds")"
  rm "$log.seconds"
  printf '%8s s  (CPU %7s s)' "$seconds" "$(awk -v a="$user" -v b="$system" 'BEGIN { printf "%.1f", a + b }')"
  if ((stage_status == 0)); then
    printf '\n'
  else
    printf '  FAILED\n'
    failed_stages+=("$name")
    tail -n 40 "$log" | sed 's/^/    /'
    printf '    (all of it: %s)\n' "$log"
  fi
  # The last line of ctest or pytest summarises the tests of a stage.
  line=$(grep -E '^[0-9]+% tests passed|^[0-9]+ (passed|failed|error).* in [0-9.]+s' "$log" | tail -n 1) || line=
  if [[ -n $line ]]; then printf '    %s\n' "$line"; fi
  grep '^not tested:' "$log" | sed 's/^/    /' || true
}

# stages_at_once NAME COMMAND [NAME COMMAND]...: like stage for each, all at once, for stages that use one
# core or wait. A COMMAND is one word, split at spaces. Prints their lines when all have ended.
stages_at_once() {
  local names=() started=() shown k
  shown=$(mktemp -d)
  while (($#)); do
    # shellcheck disable=SC2086 # the words of a command
    (stage "$1" $2 >"$shown/${#names[@]}"; exit "$stage_status") &
    names+=("$1") started+=($!)
    shift 2
  done
  for k in "${!names[@]}"; do
    if ! wait "${started[$k]}"; then failed_stages+=("${names[$k]}"); fi
    cat "$shown/$k"
  done
  rm -r "$shown"
}

# require_stage: like stage, but the script ends if it fails.
require_stage() {
  stage "$@"
  if ((stage_status != 0)); then exit 1; fi
}
