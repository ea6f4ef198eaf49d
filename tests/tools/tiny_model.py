"""Writes a tiny random Llama and a byte-level BPE tokenizer trained on the spot. Run by the engine's own Python."""

import sys

from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, PreTrainedTokenizerFast

TEXT = "The load line on a ship's hull shows how much more it can carry, and shows it before it sinks. "
# vLLM's server reads what its engine sends before all else, and does nothing else while more of that waits: an engine faster
# than its server (4 layers: 2 ms a token) can hold up every request for as long as one long answer takes. Seen in 0.32:
# `AsyncLLM.output_handler` yields only when its queue is empty. With 16 layers a token takes 8 ms, far from that.
LAYERS = 16
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant: "


def write(folder: str) -> None:
    """Write config.json and the tokenizer's files; the weights are random ones made by the engine (`--load-format dummy`)."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([TEXT] * 8, vocab_size=512, special_tokens=["<s>", "</s>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    ).save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1])
