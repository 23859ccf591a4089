#!/usr/bin/env bash
# kill.py on every kind of long command, with the synthetic world's model: 30 kills each, about an hour on two cores.
#   bash tests/soak/kill_all.sh WORK [KILLS] [NAME,NAME...]     writes WORK/NAME.log; exit code 1 if any file differs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(realpath -m "$1") kills=${2:-30} only=${3:-}
export PYTHON=$PWD/.venv/bin/python OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
mkdir -p "$work"
"$PYTHON" -m world.build --out "$work/data" --seed 42
data() { "$PYTHON" -m common.cli data "$1" "$work/data/data.yaml"; }
export DATA_CONFIG=$work/data/data.yaml
"$PYTHON" MMLU/build_variants.py --source mmlu --data "$(data mmlu)" --translations "$(data mmlu_translations)" \
    --out "$work/variants"
corpus=$work/corpus.jsonl
mix=(FT/mix.py --input "$(data wikitext)" --translator dictionary --dictionary "$(data translator_dictionary)" --unit word)
[[ -f "$corpus" ]] || "$PYTHON" "${mix[@]}" --limit 400 --out "$corpus"
train=(FT/train.py --config FT/configs/world.yaml --data "$corpus" --max_steps 30 --save_steps 5)
mmlu=(--model assets/world --data "$work/variants" --limit 15)

failed=0
soak() { # soak NAME WORDS...
    [[ -z "$only" || ",$only," == *",$1,"* ]] || return 0
    echo "== $1"
    "$PYTHON" tests/soak/kill.py --kills "$kills" --work "$work/$1" -- "${@:2}" 2>&1 | tee "$work/$1.log" || failed=1
}
soak evaluate "$PYTHON" MMLU/evaluate_mmlu.py "${mmlu[@]}" --settings en,full,mixup --out "{out}"
soak mitigate "$PYTHON" MMLU/mitigate.py "${mmlu[@]}" --settings en,full_de --write translation --max_new_tokens 16 --out "{out}"
soak mix "$PYTHON" "${mix[@]}" --limit 1000 --processes 2 --out "{out}/corpus.jsonl"
soak translate "$PYTHON" Translation/translate.py --translator assets/world --sentences "$(data flores)" --limit 100 --out "{out}"
soak train "$PYTHON" "${train[@]}" --out "{out}"
soak lora "$PYTHON" "${train[@]}" --method lora --out "{out}"
soak consistency "$PYTHON" CLiKA/consistency.py --runs "world=$work/evaluate/whole" --out "{out}/table"
soak reproduce bash reproduce.sh assets/world --limit 4 --settings en,full_de,mixup --only mmlu,quiz,tofu --out "{out}"
exit $failed
