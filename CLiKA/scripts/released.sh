#!/usr/bin/env bash
# The predictions of some 46 real models that CLiKA's authors released: tables, heat maps, families of models.
#   bash CLiKA/scripts/released.sh      reads clika of data.yaml; needs no model
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

[[ -z "${PLAN:-}" ]] || fail "PLAN: no model reads anything here"
callers_paths "$@"
keys=("${configs[@]}" --out "${RESULTS:-CLiKA/results/released}" ${SEED:+--seed "$SEED"} "${called[@]}")
data_config=${DATA_CONFIG:-data.yaml}
fill data=clika!
"$python" CLiKA/released.py "${keys[@]}"
