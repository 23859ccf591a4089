"""COMET in a separate environment (scripts/install_comet.sh), since unbabel-comet needs older packages.

scores = comet_scores("Unbabel/wmt22-comet-da", directions)
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from systems import Direction

from common.cli import InputError

PYTHON = Path(__file__).resolve().parent.parent / ".venv-comet" / "bin" / "python"

# Runs there: reads {"checkpoint", "batches"} and writes the system score of each batch.
PROGRAM = """
import json, sys, torch
from pathlib import Path
from comet import download_model, load_from_checkpoint
job = json.loads(Path(sys.argv[1]).read_text())
path = job["checkpoint"]
model = load_from_checkpoint(path if Path(path).is_file() else download_model(path))
gpus = int(torch.cuda.is_available())
scores = [model.predict(batch, batch_size=16, gpus=gpus, num_workers=0).system_score for batch in job["batches"]]
Path(sys.argv[2]).write_text(json.dumps(scores))
"""


def comet_scores(checkpoint: str, directions: Sequence[Direction]) -> list[float] | None:
    """System COMET of each direction, as a fraction; `checkpoint` is a name on the hub or a .ckpt file.

    None, and a message on how to install it, where the environment is missing. Raises InputError where scoring fails.
    """
    if not PYTHON.exists():
        print("COMET is not installed, its column stays empty: run `bash Translation/scripts/install_comet.sh`")
        return None
    batches = [
        [
            {"src": source, "mt": hypothesis, "ref": reference}
            for source, hypothesis, reference in zip(
                direction.sources, direction.hypotheses, direction.references, strict=True
            )
        ]
        for direction in directions
    ]
    with tempfile.TemporaryDirectory() as folder:
        job, result = Path(folder) / "job.json", Path(folder) / "scores.json"
        job.write_text(json.dumps({"checkpoint": checkpoint, "batches": batches}), encoding="utf-8")
        done = subprocess.run([PYTHON, "-c", PROGRAM, job, result], capture_output=True, text=True)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
            raise InputError(f"COMET checkpoint {checkpoint!r} cannot score: {reason}")
        return json.loads(result.read_text(encoding="utf-8"))
