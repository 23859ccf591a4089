#!/usr/bin/env bash
# The papers' claims on the synthetic world, on a CPU: install if needed, data, MMLU settings, translation and embeddings, the
# domain quiz, authors taught in English, fine-tuning, prompts; tables, plots, what was found, and a report.
#   bash reproduce.sh              with the trained model in assets/world, which is pretrained first if it is missing
#   bash reproduce.sh --retrain    pretrain that model first
#   bash reproduce.sh --seed 43    another world altogether (implies --retrain)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

retrain=0 seed=42
while [ $# -gt 0 ]; do
  case "$1" in
    --retrain) retrain=1; shift ;;
    --seed) retrain=1; seed="${2:?reproduce.sh: --seed needs a number}"; shift 2 ;;
    *) echo "reproduce.sh: unknown argument $1; it takes --retrain and --seed N" >&2; exit 2 ;;
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
RESULTS=$run/remedy bash FT/scripts/remedy.sh "$model"
METHODS=hint_various,shots_english RESULTS=$run/mitigation \
  bash MMLU/scripts/mitigation.sh "$model" --settings en,full,mixup
clika=(--chance 0.25 --reference 1)
"$PYTHON" CLiKA/consistency.py --runs "world=$run" --out "$run/consistency" "${clika[@]}"
"$PYTHON" CLiKA/consistency.py --runs "taught=$run/tofu/taught" --taught en --out "$run/conductivity" "${clika[@]}"
"$PYTHON" -m world.finding --run "$run"
"$PYTHON" report/report.py --results "$run" --out "$run/report"
