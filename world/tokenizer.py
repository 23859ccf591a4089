"""The synthetic world's tokenizer: each word of its text is one piece; other words are split into bytes."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
PAD = "<pad>"
# A label of a multiple-choice question with its line break (so that the option's text is its neighbour), a word with
# the blank before it (an elided article with its apostrophe is one), a number, a line break, another mark.
_PIECES = r"\n [A-D]\.|\n Answer:| ?\p{L}+['’]?| ?\p{N}+|\n| ?[^\s\p{L}\p{N}]|\s"

_WORD, _BYTE = -1.0, -10.0  # scores of pieces: the best split of a text is the one with the highest sum


def train_tokenizer(texts: Iterable[str], vocabulary: int, positions: int) -> PreTrainedTokenizerFast:
    """A tokenizer of the most frequent words of `texts`, `vocabulary` pieces at most; `positions` is its longest text.

    Not BPE: at this size it splits a third of the words, since each needs several merges, and a model this small then
    hardly learns to translate. A space is put before every line, so that a word is the same piece at the start of a
    line and within it; decoding removes it. END is put before every text: it also ends the preceding document.
    """
    normalizer = normalizers.Sequence([normalizers.Prepend(" "), normalizers.Replace("\n", "\n ")])
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text)))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [word for word, _ in counts.most_common() if len(word) > 1]
    pieces = [(piece, 0.0) for piece in (END, PAD)] + [(byte, _BYTE) for byte in alphabet]
    pieces += [(word, _WORD) for word in words[: vocabulary - len(pieces)]]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace("\n ", "\n"), decoders.Strip(content=" ", left=1, right=0)]
    )
    tokenizer.add_special_tokens([END, PAD])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A {END} $B", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
    )
