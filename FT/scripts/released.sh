#!/usr/bin/env bash
# The checkpoints that the paper's authors released, on MMLU and the quiz, beside the model that they were made from.
#   [FAMILY=llama2-7b] [TRAINED_ON=wiki2] [RELEASED=FOLDER] bash FT/scripts/released.sh [BASE] [--limit N]
# FAMILY: llama3-8b or llama2-7b. TRAINED_ON: wiki103 or wiki2. RELEASED: owner on the hub, or a folder of copies, as
# FOLDER/llama3-8b-wiki103-en. BASE: the model before fine-tuning, a hub name or folder; none: only the checkpoints.
# Other keys are of both MMLU/evaluate_mmlu.py and HP/evaluate_quiz.py.
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

family=${FAMILY:-llama3-8b} corpus=${TRAINED_ON:-wiki103} released=$(absolute "${RELEASED:-cross-ling-know}")
case "$family" in
    llama3-8b) base=meta-llama/Meta-Llama-3-8B ;;
    llama2-7b) base=meta-llama/Llama-2-7b-hf ;;
    *) fail "FAMILY is $family; it must be llama3-8b or llama2-7b" ;;
esac
case "$corpus" in
    wiki103) units=(sentence words) ;;
    wiki2) units=(document sentence words) ;;
    *) fail "TRAINED_ON is $corpus; it must be wiki103 or wiki2" ;;
esac
if (($#)) && [[ "$1" != --* ]]; then base=${1:-$base} && shift; fi

results=${RESULTS:=FT/results/released/$family-$corpus}
start FT/configs/evaluate.yaml "" "$base" "$@"
asked=("${keys[@]}")
find_data
build_questions
if [[ "$base" = none ]]; then tabulate+=(--base en); else evaluate none "$model"; fi
evaluate en "$released/$family-$corpus-en"
for unit in "${units[@]}"; do
    evaluate "$unit" "$released/$family-$corpus-mixed-lang-${unit/#words/sentence8words}"
done
[[ -z "$show" ]] || exit 0
table released
