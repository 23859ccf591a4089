#!/usr/bin/env bash
# Facts on invented authors: taught in English, asked in every language.
#   bash TOFU/scripts/authors.sh [MODEL] [--key value ...]      keys of TOFU/evaluate_tofu.py
# shellcheck source=TOFU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

trains
begin "$@"
teach
table authors
