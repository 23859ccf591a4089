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
export PYTHON=$PWD/.venv/bin/python
out=results/world_$seed
model=assets/world run=$out/zero_shot
if [ "$retrain" = 1 ]; then
  model=$out/model run=$out/zero_shot_retrained
  "$PYTHON" -m world.pretrain --out "$model" --seed "$seed"
fi
"$PYTHON" -m world.build --out "$out/data" --seed "$seed"
export DATA_CONFIG=$out/data/data.yaml

RESULTS=$run bash MMLU/scripts/zero_shot.sh "$model"
for script in translation embeddings lens; do
  RESULTS=$run/translation bash "Translation/scripts/$script.sh" "$model"
done
RESULTS=$run bash HP/scripts/quiz.sh "$model"
RESULTS=$run/tofu bash TOFU/scripts/authors.sh "$model"
ARMS=en,word RESULTS=$run/remedy bash FT/scripts/remedy.sh "$model"
METHODS=hint_various,shots_english RESULTS=$run/mitigation \
  bash MMLU/scripts/mitigation.sh "$model" --settings en,full,mixup
clika=(--chance 0.25 --reference 1)
"$PYTHON" CLiKA/consistency.py --runs "world=$run" --out "$run/consistency" "${clika[@]}"
"$PYTHON" CLiKA/consistency.py --runs "taught=$run/tofu/taught" --taught en --out "$run/conductivity" "${clika[@]}"
"$PYTHON" -m world.finding --run "$run"
"$PYTHON" report/report.py --results "$run" --out "$run/report"
