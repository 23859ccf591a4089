#!/usr/bin/env bash
# Create .venv beside this file and install everything in it; a second call with nothing changed takes seconds.
#   bash install.sh              the experiments
#   bash install.sh --dev        and the test tools
#   bash install.sh --bench      and what the benchmarks compare against
#   bash install.sh --online     and the clients of translation services and model servers
#   bash install.sh --gguf       and the reader of GGUF files
#   bash install.sh --dpo        and TRL, for objective dpo of FT/train.py
#   bash install.sh --cpu|--cuda choose the PyTorch build, for later calls too (default: CUDA where nvidia-smi answers, else CPU)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

extras=() chosen=$(cat .venv/chosen 2>/dev/null || true)
for argument in "$@"; do
  case "$argument" in
    --dev) extras+=(dev) ;;
    --bench) extras+=(bench) ;;
    --online) extras+=(online) ;;
    --gguf) extras+=(gguf) ;;
    --dpo) extras+=(dpo) ;;
    --cpu | --cuda) chosen="${argument#--}" ;;
    *) echo "install.sh: unknown argument $argument; it takes --dev, --bench, --online, --gguf, --dpo, --cpu, --cuda" >&2; exit 2 ;;
  esac
done
build=${chosen:-$(if nvidia-smi >/dev/null 2>&1; then echo cuda; else echo cpu; fi)}

if [ -n "$chosen" ]; then mkdir -p .venv && echo "$chosen" > .venv/chosen; fi

python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
  echo "install.sh: no such program $python; install Python 3.11 or newer, or name one with PYTHON=..." >&2
  exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "install.sh: $("$python" --version) is too old; install Python 3.11 or newer, or name one with PYTHON=..." >&2
  exit 2
fi

# What is installed is remembered in the environment itself: what was asked for so far, and the pins it was made from.
stamp=.venv/installed
wanted=("$build" "${extras[@]+"${extras[@]}"}")
pins=$(sha256sum pyproject.toml | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$pins $PWD" ]; then
  missing=0
  for part in "${wanted[@]}"; do grep -qx "$part" "$stamp" || missing=1; done
  if [ "$missing" = 0 ]; then echo "install.sh: up to date"; exit 0; fi
fi

.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv .venv # not there, or cut short
echo "install.sh: installing into .venv, which takes some minutes the first time"
pip=(.venv/bin/python -m pip -qq --disable-pip-version-check) # errors alone are shown
torch=$(sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
other=$(.venv/bin/python -c 'import torch; print("cpu" if torch.version.cuda is None else "cuda")' 2>/dev/null || true)
if [ -n "$other" ] && [ "$other" != "$build" ] && [ -n "$chosen$(nvidia-smi 2>/dev/null)" ]; then
  "${pip[@]}" uninstall --yes torch # both builds count as the same version, so that the other one would stay
fi
if [ "$build" = cpu ] && ! .venv/bin/python -c 'import torch' 2>/dev/null; then
  # PyTorch keeps its CPU builds on an index of its own; where that is out of reach the usual index serves.
  "${pip[@]}" install --retries 1 --timeout 15 --index-url https://download.pytorch.org/whl/cpu "$torch" 2>/dev/null ||
    "${pip[@]}" install "$torch"
fi
group=$(IFS=,; echo "${extras[*]+"${extras[*]}"}")
"${pip[@]}" install --editable ".${group:+[$group]}"

earlier() { if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$pins $PWD" ]; then tail -n +2 "$stamp" | grep -vx 'cpu\|cuda' || true; fi; }
{ echo "$pins $PWD"; { earlier; printf '%s\n' "${wanted[@]}"; } | sort -u; } > "$stamp.tmp"
mv "$stamp.tmp" "$stamp"
echo "install.sh: ready in .venv ($build${group:+, $group})"
