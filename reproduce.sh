#!/usr/bin/env bash
# The whole argument on the embedded world, on a CPU: install if needed, data, MMLU settings, translation and embeddings,
# the domain quiz, authors taught in English, fine-tuning, prompts; tables, plots, what was found, and a report.
#   bash reproduce.sh              with the trained model in assets/world, which is pretrained first if it is missing
#   bash reproduce.sh --retrain    pretrain that model anew first
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
python=.venv/bin/python
out=results/world_$seed
model=assets/world
if [ "$retrain" = 1 ]; then
  model=$out/model
  "$python" -m world.pretrain --out "$model" --seed "$seed"
fi
"$python" -m world.build --out "$out/data" --seed "$seed"
"$python" MMLU/build_variants.py --source mmlu --data "$out/data/mmlu/en" --translations "$out/data/mmlu" \
  --languages en,de,fr,es,it --out "$out/variants" --seed "$seed"
[ "$retrain" = 1 ] && run=$out/zero_shot_retrained || run=$out/zero_shot
"$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model "$model" --data "$out/variants" --out "$run" \
  --dtype float32
"$python" MMLU/tabulate_mmlu.py --runs "$run" --out "$run/table" --category english_only
"$python" MMLU/plot_mmlu.py --run "$run" --out "$run/accuracy" --category english_only
export WORLD_SEED=$seed WORLD=$out/data PYTHON=$python
for script in translation embeddings lens; do
  RESULTS=$run/translation bash "Translation/scripts/$script.sh" "$model"
done
DATA=$out/data/hp RESULTS=$run bash HP/scripts/quiz.sh "$model"
RESULTS=$run/tofu bash TOFU/scripts/authors.sh "$model"
RESULTS=$run/remedy bash FT/scripts/remedy.sh "$model"
METHODS=hint_various,shots_english SETTINGS=en,full,mixup RESULTS=$run/mitigation bash MMLU/scripts/mitigation.sh "$model"
clika=(--chance 0.25 --reference 1)
"$python" CLiKA/consistency.py --runs "world=$run" --out "$run/consistency" "${clika[@]}"
"$python" CLiKA/consistency.py --runs "taught=$run/tofu/taught" --taught en --out "$run/conductivity" "${clika[@]}"
"$python" world/finding.py --run "$run"
"$python" FT/finding.py --tables "$seed=$run/remedy/remedy.csv" --out "$run/remedy/finding.csv"
"$python" report/report.py --results "$run" --out "$run/report"
