#!/usr/bin/env bash
# The papers' claims, measured: install if needed, then all experiments, tables, plots and one report.
#   bash reproduce.sh              on the synthetic world, on a CPU; its model is pretrained first if assets/world is missing
#   bash reproduce.sh --retrain    pretrain that model first
#   bash reproduce.sh --seed 43    another world altogether (implies --retrain)
#   bash reproduce.sh MODEL [--limit N] [--settings en,full,mixup] [--only mmlu,quiz] [--with_training] [--plan]
#                                  a model of yours on the data that data.yaml names (keys of report/parts.py)
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
  case "$1" in
    *.gguf) bash install.sh --gguf ;;
    endpoint:* | chat:*) bash install.sh --online ;;
    *) bash install.sh ;;
  esac
  root=$PWD
  cd "$caller" # whose paths are meant
  exec "$root/.venv/bin/python" "$root/report/reproduce.py" --model "$1" ${RESULTS:+--out "$RESULTS"} "${@:2}"
fi

retrain=0 seed=42
while [ $# -gt 0 ]; do
  case "$1" in
    --retrain) retrain=1; shift ;;
    --seed) retrain=1; seed="${2:?reproduce.sh: --seed needs a number}"; shift 2 ;;
    *) echo "reproduce.sh: unknown argument $1; it takes MODEL, or --retrain and --seed N" >&2; exit 2 ;;
  esac
done

[ -f assets/world/world.json ] || retrain=1

bash install.sh
export PYTHON=$PWD/.venv/bin/python TRANSFORMERS_VERBOSITY=error
# A Python that has imported torch and transformers forks for every call: otherwise a step spends its first seconds on that.
warm=$(mktemp -d)
trap 'rm -rf "$warm"' EXIT
exec 9> >(exec "$PYTHON" report/warm.py "$warm" > /dev/null 2>&1)
while [ ! -x "$warm/python" ] && kill -0 $! 2>/dev/null; do sleep 0.1; done
[ ! -x "$warm/python" ] || PYTHON=$warm/python
out=results/world_$seed
model=assets/world run=$out/zero_shot
number=0 total=$((14 + retrain))
mkdir -p "$out/logs"

# step NAME COMMAND...: a line with number, name and seconds when it has ended; what the command prints is kept in $out/logs, and
# the end of it is shown where it fails.
step() {
  local start=$SECONDS name=$1 status=0
  number=$((number + 1))
  log=$(printf '%s/logs/%02d.log' "$out" "$number")
  "${@:2}" > "$log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    printf '[%d of %d] %s: failed, see %s\n' "$number" "$total" "$name" "$log"
    tail -n 15 "$log" >&2
    exit "$status"
  fi
  printf '[%d of %d] %s, %d s\n' "$number" "$total" "$name" $((SECONDS - start))
}

# side_by_side FUNCTION...: steps at the same time, with a share of the cores each: one step alone does not keep them busy. Where
# one fails, what stands beside it is finished first.
side_by_side() {
  local lane pid status=0 lanes=()
  set -m # a process group each, which Ctrl-C reaches through the trap
  trap 'kill -- "${lanes[@]/#/-}"; exit 130' INT TERM
  for lane in "$@"; do
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(getconf _NPROCESSORS_ONLN) + $# - 1) / $#))} "$lane" &
    lanes+=("$!")
  done
  for pid in "${lanes[@]}"; do wait "$pid" || status=$?; done
  trap - INT TERM
  set +m
  [ "$status" = 0 ] || exit "$status"
}

if [ "$retrain" = 1 ]; then
  model=$out/model run=$out/zero_shot_retrained
  step "pretrain the world's model" "$PYTHON" -m world.pretrain --out "$model" --seed "$seed"
fi
step "build the world's data" "$PYTHON" -m world.build --out "$out/data" --seed "$seed"
export DATA_CONFIG=$out/data/data.yaml

# Fine-tuning takes longest, so that one of its arms is trained in a lane of its own; whichever comes to it second waits.
export WAIT=1
fine_tuning() {
  ARMS=en,anchor,word RESULTS=$run/remedy step "fine-tuning on mixed-language text" bash FT/scripts/remedy.sh "$model"
}
one_arm() {
  number=$((number + 1))
  ARMS=en,anchor,word ONLY=word RESULTS=$run/remedy \
    step "one of its arms, beside it" bash FT/scripts/remedy.sh "$model"
  METHODS=hint_various,shots_english RESULTS=$run/mitigation \
    step "fixes without training" bash MMLU/scripts/mitigation.sh "$model" --settings en,full,mixup
}
all_others() {
  number=$((number + 3))
  RESULTS=$run step "MMLU, 0-shot" bash MMLU/scripts/zero_shot.sh "$model"
  RESULTS=$run/translation step "translation" bash Translation/scripts/translation.sh "$model"
  RESULTS=$run/translation step "mixed-language embeddings" bash Translation/scripts/embeddings.sh "$model"
  RESULTS=$run/translation step "logit lens" bash Translation/scripts/lens.sh "$model"
  RESULTS=$run step "domain quiz" bash HP/scripts/quiz.sh "$model"
  RESULTS=$run/tofu step "facts taught in English" bash TOFU/scripts/authors.sh "$model"
}
side_by_side fine_tuning one_arm all_others
number=$((number + 9))
clika=(--chance 0.25 --reference 1)
step "consistency" "$PYTHON" CLiKA/consistency.py --runs "world=$run" --out "$run/consistency" "${clika[@]}"
step "conductivity" "$PYTHON" CLiKA/consistency.py --runs "taught=$run/tofu/taught" --taught en --out "$run/conductivity" \
  "${clika[@]}"
step "finding" "$PYTHON" -m world.finding --run "$run"
step "claims and report" "$PYTHON" report/report.py --results "$run" --out "$run/report"
echo "The report: $run/report/report.html"
