#!/usr/bin/env bash
# Fine-tuning inside and outside the quiz's domain: WikiText on Harry Potter and WikiText on anything else, each English
# only and with words in five languages, then MMLU and the quiz.
#   [ARMS=en,word] bash HP/scripts/corpora.sh [MODEL] [--key value ...]      keys of FT/train.py, as in FT/scripts/remedy.sh
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

trains
start "$(training_config "$@")" "" "$@"
find_data
export ARMS=${ARMS:-en,word}
documents=$("$python" -m common.cli get documents --config FT/configs/mix.yaml) # the same in both corpora, and in mixing
[[ -n "$documents" || "$(get protocol)" != paper ]] || documents=rows
results=${RESULTS:-$(dirname "$(dirname "$out")")/domain}
select_corpora() {
    local keys=(--out "$results")
    [[ -z "$documents" ]] || keys+=(--documents "$documents")
    if [[ -n "${CORPUS:-}" ]]; then keys+=(--input "$CORPUS"); else fill input=wikitext! subset=wikitext_subset; fi
    "$python" HP/select_corpus.py "${keys[@]}"
}
select_corpora
for part in related unrelated; do
    CONFIG=${keys[1]} CORPUS=$results/$part.jsonl RESULTS=$results/$part bash FT/scripts/remedy.sh "$model" "${keys[@]:2}"
done
