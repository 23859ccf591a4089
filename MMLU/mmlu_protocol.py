"""What `protocol: paper` takes from the paper's code for MMLU alone; for all tasks: common/evaluation/evaluate.py.

github.com/google-research/crosslingual-knowledge-barriers, commit 8060e7d, folder MMLU. Plain prompts are the same in
both protocols. The whole text that the model writes must be the label (third_party/hendrycks_mmlu/lib_mmlu.py).
"""

from collections.abc import Sequence

import torch
from answer_scorer import LocalAuthor
from transformers import LogitsProcessorList

from common.cli import InputError, config_hash
from common.lm.generation import check_room
from common.lm.server import Reply

DTYPE = "float16"  # of the weights (models/hf.py)
BLANK = " "  # after "Answer:" of a question to translate, and at the end of the prompt (dataset/mmlu_en_trans.py)


def refuse_nan(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """The scores of the next token; InputError where the model gives NaN, from which nothing can be drawn."""
    if scores.isnan().any():
        raise InputError("the model gives NaN; try --dtype float32")
    return scores


class SamplingAuthor(LocalAuthor):
    """Samples one text at a time, with the temperature and so on of the model's generation config (models/hf.py).

    `seed` is ours, the paper's code has none. A text depends on it and the prompt alone, whatever was written before.
    """

    def __init__(self, *loaded, seed: int):
        super().__init__(*loaded, chat=False)
        self.seed = seed

    @torch.inference_mode()
    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]:
        """Continue each prompt up to the end of the text or `max_new_tokens`; InputError where there is no room."""
        replies = []
        for row, prompt in enumerate(prompts):
            ids = self.tokenizer(prompt, return_tensors="pt", verbose=False).input_ids.to(self.model.device)
            length = ids.shape[1]
            check_room(self.model, row, length, max_new_tokens)
            torch.manual_seed(int(config_hash({"seed": self.seed, "prompt": prompt}), 16))
            keys = {"attention_mask": torch.ones_like(ids), "pad_token_id": self.tokenizer.eos_token_id}
            keys |= {"logits_processor": LogitsProcessorList([refuse_nan])}
            new = self.model.generate(ids, max_new_tokens=max_new_tokens, do_sample=True, **keys)[0, length:]
            replies.append(Reply(self.tokenizer.decode(new, skip_special_tokens=True), {}, length, len(new)))
        return replies
