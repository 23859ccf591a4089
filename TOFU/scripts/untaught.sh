#!/usr/bin/env bash
# What a model makes of TOFU's questions as it is, untaught, in every language.
#   bash TOFU/scripts/untaught.sh [MODEL] [--key value ...]      keys of TOFU/evaluate_tofu.py
# shellcheck source=TOFU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

begin "$@"
evaluate untaught "$model"
table untaught
