#!/usr/bin/env bash
# The remedy: no fine-tuning, English-only fine-tuning, and the same text in units of several languages, as in the paper.
#   [ARMS=en,word] [SEEDS=42,43] [TOKENS=N] [MEASURES=x_geo] bash FT/scripts/remedy.sh [MODEL] [--limit N] [--key value ...]
# ARMS: en, then any arm of FT/README.md; default: en,document,sentence,words. The sentence at the end is about the last one.
# SEEDS: of mixing and training, each in a folder of its own; default: one, SEED or that of the YAML. The questions and the
# model before training are the same for all. TOKENS: so many in every arm with text, in packed rows (--protocol ours).
# ONLY: train and evaluate this one of ARMS alone, as on a GPU of its own; the call without it finds it and makes the tables.
# MEASURES: x_geo, perplexity, translation, mexa, beside MMLU and the quiz. EVALUATE: a YAML in the place of
# FT/configs/evaluate.yaml. --limit as in FT/scripts/lib.sh; other keys are those of FT/train.py. PLAN=1 says what is to train,
# and what there is to evaluate.
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

IFS=, read -ra chosen <<< "${ARMS:-en,document,sentence,words}"
[[ "${chosen[0]}" = en && ${#chosen[@]} -gt 1 ]] || fail "ARMS is $ARMS; write en, and behind it one arm or more"
for one in "${chosen[@]}"; do
    [[ -n "$one" && -v "texts[$one]" ]] || fail "no arm '$one' in ARMS; there are: ${!texts[*]}"
done
[[ -z "${ONLY:-}" || " ${chosen[*]} " = *" $ONLY "* ]] || fail "ONLY is $ONLY, which is not in ARMS: ${chosen[*]}"
IFS=, read -ra measures <<< "${MEASURES:-}"
for one in "${measures[@]}"; do
    [[ "$one" =~ ^(x_geo|perplexity|translation|mexa)$ ]] ||
        fail "no measure '$one' in MEASURES; there are: x_geo perplexity translation mexa"
done
IFS=, read -ra seeds <<< "${SEEDS:-}"
for one in "${seeds[@]}"; do
    [[ "$one" =~ ^[0-9]+$ ]] || fail "SEEDS is $SEEDS; write numbers with commas between"
done

begin "$@"
if [[ " ${chosen[*]} " = *" dpo "* ]]; then
    examples=("$variants"/dev/full_*.csv)
    [[ ! -f "$variants/dev/en.csv" || -f "${examples[0]}" ]] ||
        fail "ARMS has dpo, which votes on few-shot examples in several languages; $variants/dev has them in English alone"
fi
if [[ " ${chosen[*]} " = *" anchor "* ]]; then
    find_dictionary # before anything is trained
fi
if [[ " ${chosen[*]} " = *" pairs "* && -z "$(data_set dictionaries)" ]]; then
    fail "ARMS has pairs, which aligns words of dictionaries; these are null in $data_config"
fi
if [[ " ${measures[*]} " = *" perplexity "* && -z "$(data_set perplexity_texts)" && ! -d "$(data_set flores)" ]]; then
    fail "MEASURES has perplexity, which is that of files: name their folder as perplexity_texts in $data_config"
fi
if [[ -n "${TOKENS:-}" ]]; then
    [[ "$TOKENS" =~ ^[1-9][0-9]*$ ]] || fail "TOKENS is $TOKENS; it must be 1 or more"
    [[ "$protocol" = ours && -z "${LAUNCH:-}" ]] ||
        fail "TOKENS: for rows that are full, in one process; add --protocol ours without LAUNCH, or name --max_steps"
    row=$(get row_length) batch=$(get batch_size) passes=$(get accumulation) # or the defaults of FT/train.py
    step=$((${batch:-2} * ${passes:-8} * ${row:-1024}))
    steps=(--max_steps $(((TOKENS + step - 1) / step)))
fi
[[ -n "${ONLY:-}" ]] || evaluate none "$model"
known=() # in one language, and asked in others
! is_world || known=(--subjects english_only)
before=("${arms[@]}") asked_before=("${quizzes[@]}") shared=("${keys[@]}") tables=()
for number in "${seeds[@]:-}"; do
    arms=("${before[@]}") quizzes=("${asked_before[@]}") logs=() keys=("${shared[@]}")
    if [[ -n "$number" ]]; then
        place=$results/seed_$number keys+=(--seed "$number")
        export SEED=$number # of the corpora
    fi
    train_arms "${ONLY:-${chosen[@]}}"
    [[ -z "${PLAN:-}${ONLY:-}" ]] || continue
    table remedy
    number=${number:-$(get seed)}
    tables+=("${number:-42}=$place/remedy.csv")
    "$python" FT/finding.py --tables "${tables[-1]}" --arm "${chosen[-1]}" "${known[@]}" --out "$place/finding.csv"
done
[[ -z "${PLAN:-}${ONLY:-}" ]] || exit 0
if [[ ${#seeds[@]} -gt 1 ]]; then
    several=$(IFS=, && echo "${tables[*]}")
    "$python" FT/finding.py --tables "$several" --arm "${chosen[-1]}" "${known[@]}" --out "$results/seeds.csv"
fi
compare=(--arms "$(IFS=, && echo "${chosen[*]}")" --seeds "${SEEDS:-}" --held_out "$(data_set held_out_languages)")
! is_world || compare+=(--subjects "$name=english_only")
"$python" report/tabulate_remedies.py --runs "$name=$results" --out "$results/remedies" "${compare[@]}"
if [[ " ${measures[*]} " = *" mexa "* ]]; then
    "$python" report/tabulate_layers.py --runs "$name=$results" --out "$results/layers" "${compare[@]}"
fi
