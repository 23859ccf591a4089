#!/usr/bin/env bash
# Facts on invented authors: taught in English, asked in every language.
#   bash TOFU/scripts/authors.sh                                                    the world and its model
#   DATA=locuslab/TOFU SUBSET=forget10_perturbed TAUGHT_SUBSET=full TRANSLATIONS=DIR bash TOFU/scripts/authors.sh MODEL
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

teach
table authors
