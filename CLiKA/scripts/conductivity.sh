#!/usr/bin/env bash
# CLiKA's conductivity: invented facts taught in one language, asked in all; before and after.
#   bash CLiKA/scripts/conductivity.sh                                  the world and its model
#   [TAUGHT=de LANGUAGES=en,de,fr CONFIG=... TEACH=... DESIGN=...] bash CLiKA/scripts/conductivity.sh MODEL [--key value ...]
# CONFIG of FT/train.py, TEACH what is different while the facts are taught; DESIGN and keys of CLiKA/conductivity.py.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

one_dtype
taught=${TAUGHT:-en} seed=${SEED:-42}
out=${RESULTS:-CLiKA/results/$name/conductivity}
design=(${DESIGN:+--design "$DESIGN"}) train=(--config "${CONFIG:-FT/configs/paper.yaml}")
teach=${TEACH:-CLiKA/configs/teach.yaml}
if [[ -z "${1:-}" || -n "${WORLD:-}" ]]; then
    build_world "$out/world"
    design=(--design "$world/clika/design.csv") train=(--config FT/configs/world.yaml)
    teach=CLiKA/configs/teach_world.yaml
fi
"$python" CLiKA/conductivity.py --out "$out/facts" --taught "$taught" --languages "${LANGUAGES:-en,de,fr,es,it}" \
    --seed "$seed" "${design[@]}" "${@:2}"
evaluate() { # evaluate NAME MODEL
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model "$2" --data "$out/facts/variants" \
        --dtype "$dtype" --out "$out/$1"
}
evaluate untaught "$model"
"${launch[@]}" FT/train.py "${train[@]}" --config "$teach" --model "$model" --data "$out/facts/train.jsonl" --seed "$seed" \
    --out "$out/model"
evaluate taught "$out/model"
"$python" CLiKA/consistency.py --runs "untaught=$out/untaught,taught=$out/taught" --taught "$taught" --chance 0.25 \
    --reference 1 --out "$out/scores"
