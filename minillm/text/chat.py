"""A conversation in a tokenizer's chat format: the one place where a model's own template is run.

A template is a program that comes with the model. It may refuse a conversation, be no program at all, or show nothing;
then the sentence speaks of the template, and of the way around it.
"""

from typing import Any

from ..errors import BadInput, reason

LONGEST_FRAME = 200_000
"""Characters that a template may add to what was said; system prompts with tools have some 20,000."""

AROUND = "generate with --raw (chat=False) to continue plain text, or give another text"


def has_chat(tokenizer: Any) -> bool:
    """Whether a tokenizer has a chat format."""
    return bool(getattr(tokenizer, "chat_template", None))


def chat_text(tokenizer: Any, *said: str) -> str:
    """What was said in turns, user first, in the tokenizer's chat format; ready for the answer where it is the
    assistant's turn. Raises BadInput where the template refuses, fails or leaves nothing."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=len(said) % 2 == 1)
    except Exception as fault:
        raise BadInput(
            f"The chat template of this model cannot be used ({type(fault).__name__}: {reason(fault)}); {AROUND}."
        ) from fault
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f"The chat template of this model makes an empty text of what was said; {AROUND}.")
    if len(text) > LONGEST_FRAME + 2 * sum(map(len, said)):
        raise BadInput(f"The chat template of this model adds {len(text):,} characters to what was said; {AROUND}.")
    return text
