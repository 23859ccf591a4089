#!/usr/bin/env bash
# The predictions of some 46 real models that CLiKA's authors released: tables, heat maps, families of models.
#   bash CLiKA/scripts/released.sh      reads clika of data.yaml; needs no model
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

data_config=${DATA_CONFIG:-data.yaml}
data=$(data_set clika)
[[ -n "$data" ]] || fail "clika is null in $data_config; name the folder of CLiKA's files there"
"$python" CLiKA/released.py --data "$data" --out "${RESULTS:-CLiKA/results/released}" "$@"
