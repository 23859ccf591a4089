#!/usr/bin/env bash
# Fine-tuning inside and outside the quiz's domain: WikiText on Harry Potter and WikiText on anything else, each English
# only and with words in five languages, then MMLU and the quiz.
#   CORPUS=Salesforce/wikitext SUBSET=wikitext-103-raw-v1 DATA=DIR [TRANSLATOR=... CONFIG=...] bash HP/scripts/corpora.sh MODEL
# CORPUS, SUBSET as in HP/select_corpus.py, the rest as in FT/scripts.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

need CORPUS DATA
results=${RESULTS:-HP/results/$name/corpora}
"$python" HP/select_corpus.py --input "$CORPUS" ${SUBSET:+--subset "$SUBSET"} --out "$results"
for part in related unrelated; do
    CORPUS=$results/$part.jsonl RESULTS=$results/$part bash FT/scripts/remedy.sh "$model"
done
