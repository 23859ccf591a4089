#!/usr/bin/env bash
# How well a model translates: every direction from and into English, BLEU, chrF++, TER and, where installed, COMET.
#   bash Translation/scripts/translation.sh                                the world and its model
#   SENTENCES=DIR bash Translation/scripts/translation.sh MODEL [--shots 5 --examples DIR ...]   keys of translate.py
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need SENTENCES
"$python" Translation/translate.py --translator "$model" --sentences "$SENTENCES" --out "$results/systems/$name" "${@:2}"
"$python" Translation/score.py --hypotheses "$results/systems" --references "$SENTENCES" --out "$results/scores.csv"
