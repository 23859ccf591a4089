"""Tiny random models and tokenizers of real architectures, for tests that load them as a user loads a large one."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as tokenizer_models
from transformers import (
    AfmoeConfig,
    AfmoeForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    M2M100Config,
    M2M100ForConditionalGeneration,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    NllbTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

TEXT = [
    "The following are multiple choice questions (with answers) about  geography.",
    "Which river flows through the capital? A. the Seine B. the Danube C. the Tagus D. the Po Answer: A",
    "Welcher Fluss fließt durch die Hauptstadt? ¿Qué río atraviesa la capital? Quel fleuve traverse la capitale ?",
    "Passage: A river is a natural stream of water. Question: What is a river? Answer: B",
    "Quale fiume attraversa la capitale? A mountain is high and the sea is deep. Answer: C Answer: D",
] * 4

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "head_dim": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def tiny_llama(vocabulary: int, **changes) -> LlamaForCausalLM:
    """A random Llama; weights are large enough for its predictions to differ from token to token."""
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, initializer_range=0.3, **SHAPE | changes)).eval()


def always(text: str, folder: Path) -> Path:
    """A saved model that says one token for ever: every hidden state is the same, and the head knows one token."""
    tokenizer = byte_level_tokenizer()
    (token,) = tokenizer(text, add_special_tokens=False).input_ids
    model = tiny_llama(len(tokenizer), tie_word_embeddings=False)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "embed" in name or "norm" in name else 0.0)
        model.lm_head.weight[token] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_models(vocabulary: int) -> dict[str, PreTrainedModel]:
    """One random model per kind of attention the scorer has to get right."""
    shape = SHAPE | {"vocab_size": vocabulary, "initializer_range": 0.3}
    small = {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 1, "initializer_range": 0.3}
    made = {
        "llama": tiny_llama(vocabulary),
        "mistral": MistralForCausalLM(MistralConfig(**shape, sliding_window=None)),
        "mistral_sliding_window": MistralForCausalLM(MistralConfig(**shape, sliding_window=9)),
        "qwen2": Qwen2ForCausalLM(Qwen2Config(**shape)),
        "qwen3": Qwen3ForCausalLM(Qwen3Config(**shape)),
        "gemma2_softcap": Gemma2ForCausalLM(Gemma2Config(**shape, sliding_window=7)),
        "gemma3": Gemma3ForCausalLM(Gemma3TextConfig(**shape, sliding_window=7)),
        "gpt2": GPT2LMHeadModel(GPT2Config(**small, n_embd=32, n_layer=2, n_head=4)),
        "mamba_recurrent": MambaForCausalLM(MambaConfig(**small, hidden_size=32, num_hidden_layers=2)),
    }
    return {name: model.eval() for name, model in made.items()}


def unusual_models(vocabulary: int) -> dict[str, PreTrainedModel]:
    """Random models whose attention takes liberties: caches without keys, layers called twice, views of its output."""
    shape = SHAPE | {"vocab_size": vocabulary, "initializer_range": 0.3}
    heads = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 12}
    experts = {
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "n_group": 1,
        "topk_group": 1,
    }
    latent = shape | heads | experts | {"num_key_value_heads": 4, "head_dim": 8, "first_k_dense_replace": 1}
    views = shape | {"num_dense_layers": 1, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    made = {
        "deepseek_v3_latent": DeepseekV3ForCausalLM(DeepseekV3Config(**latent)),
        "diffllama_called_twice": DiffLlamaForCausalLM(DiffLlamaConfig(**shape)),
        "afmoe_views": AfmoeForCausalLM(AfmoeConfig(**views, sliding_window=64)),
    }
    return {name: model.eval() for name, model in made.items()}


def byte_level_tokenizer(size: int = 500, bos: bool = True, texts: Iterable[str] = TEXT) -> PreTrainedTokenizerFast:
    """Byte-level BPE as in Llama 3, trained on `texts`; puts <s> before a text if `bos`."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def sentencepiece_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Llama-2 style SentencePiece BPE with byte fallback, a dummy prefix and BOS, trained and saved in `folder`."""
    from transformers import LlamaTokenizer

    (folder / "text.txt").write_text("\n".join(TEXT), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        add_dummy_prefix=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return LlamaTokenizer.from_pretrained(folder)


def characters_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, blanks apart from letters: " A" takes two tokens."""
    return byte_level_tokenizer(size=258, bos=False)


Words = Mapping[str | None, Mapping[str, str]]  # words and their translations by the tokenizer's code of the language


def tiny_nllb(folder: Path, words: Words) -> Path:
    """A tiny model with NLLB's architecture and tokenizer class that has learnt to translate single words."""
    known = [word for own in words.values() for pair in own.items() for word in pair]
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"".join(known)]
    merges = []
    for word in dict.fromkeys(known):
        merges += [("▁" + word[: end - 1], word[end - 1]) for end in range(1, len(word) + 1)]
        vocabulary += ["▁" + word[:end] for end in range(1, len(word) + 1)]
    tokenizer = NllbTokenizer(
        vocab={piece: i for i, piece in enumerate(dict.fromkeys(vocabulary))},
        merges=list(dict.fromkeys(merges)),
        src_lang="eng_Latn",
        tgt_lang=next(iter(words)),
        extra_special_tokens=["eng_Latn", *words],
    )
    tokenizer.model_max_length = 4
    return taught(M2M100ForConditionalGeneration, M2M100Config, tokenizer, folder, words)


def taught(model_class, config_class, tokenizer: PreTrainedTokenizerBase, folder: Path, words: Words) -> Path:
    """Train a tiny encoder-decoder on all pairs of the words, and save it."""
    config = config_class(
        vocab_size=max(200, len(tokenizer)), scale_embedding=True, d_model=64, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=128, decoder_ffn_dim=128, encoder_attention_heads=2, decoder_attention_heads=2,
        max_position_embeddings=64, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, encoder_layerdrop=0.0,
        decoder_layerdrop=0.0, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = model_class(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    batches = []
    for language, own in words.items():
        if language:
            tokenizer.tgt_lang = language
        sources = [f"{a} {b}" for a in own for b in own] + [*own]
        targets = [" ".join(own.get(word, word) for word in source.split()) for source in sources]
        batch = tokenizer(sources, text_target=targets, return_tensors="pt", padding=True)
        start = torch.full_like(batch["labels"][:, :1], tokenizer.eos_token_id)
        batch["decoder_input_ids"] = torch.cat([start, batch["labels"][:, :-1]], 1)
        batch["labels"][batch["labels"] == tokenizer.pad_token_id] = -100
        if language:
            batch["labels"][:, 0] = -100  # the language, which nothing foretells
        batches.append(batch)
    for _ in range(2000):
        loss = sum(model(**batch).loss for batch in batches) / len(batches)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.02:
            break
    assert loss.item() < 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
