"""The drawer of every page, “What am I looking at?”: a few sentences, closed until asked for.

Each names the equation or figure of the MINI-LLM paper that the page shows, what to look for, and one thing to try.
"""

import gradio as gr

TEXTS: dict[str, str] = {
    "start": """
A language model is a stack of **blocks**; in each block attention **heads** and FFN **channels** can be cut out whole.
A **criterion** gives every head and channel a score; the lowest go; a short training (**recovery**) mends what is left.
This is Algorithm 1 of the MINI-LLM paper, opened up: you see every score, every choice, and what each costs in memory.

**Try:** open the sample run, go to Compare and move the ratio. Nothing is loaded for that: scores are data.
""",
    "model": """
A **group** is what must be cut together: a key/value head with the query heads it serves (rows of q, k, v and columns
of o), or one FFN channel (rows of gate and up, a column of down). Only what belongs to a group can go; embeddings and
norms stay. The **forecast** adds to the weights what each criterion holds at its peak, the quantity of the paper's
Figure 1: one block with its gradients, the block inputs, one stretch of logits.

**Try:** compare the forecast of `fms-bp` and `fms-zo`: gradients cost little memory when the blocks are walked one by
one, which is why the gap is smaller here than in the paper.
""",
    "score": """
A group's score is the sum of its weights' scores in each of its slices, and the largest of these sums counts.
Magnitude reads weights alone; Wanda (Eq. 5) multiplies by the norm X of the input they meet; LLM-Pruner (Eq. 3) by
the gradient g; MINI-LLM by both (Eq. 6), with the gradient estimated from two forward passes (Eqs. 7–9). Scores of
different criteria have different units: compare ranks, never heights.

**Look for** blocks that lie low or spread wide. **Try:** click a block to see all its groups and their rank under every
criterion; then compare `wanda` with `fms-zo`. With one direction the estimated gradient is noise times one number, so
what `fms-zo` knows beyond noise is Wanda.
""",
    "allocate": """
Blocks are not alike: the same cut hurts one more than another. An **allocation** says how much each gives up, the total
being the same. **Sensitivity** is measured in two ways: the trace of the empirical Fisher information (mean of squared
gradients, as in MSP) and the cost of masking the lowest groups of one block. The **search** is evolutionary, after
EvoPress's public description (MSP publishes no operators that we could read): candidates exchange head groups and steps
of channels, so that each costs exactly the same; all are judged on a few rows, the best quarter on more, and parents
stay until something better comes. Nothing is cut: candidates are masks on streams of one walk over the blocks.

**Try:** search at 0.5 rather than 0.2: the harder the cut, the more it matters who pays. Then hand the best to Prune.
""",
    "runs": """
A **run** is a recipe (model, text, seed and what else was asked) with everything that came of it. It has an address:
send its link to someone on this machine and they see the same, also while a job is under way. **Perplexity** is how
many words the model hesitates between; compare it only at the same text, window, token count and dtype, which is why
these stand beside it.

**Try:** tick two runs to see which settings differ and what that did to the numbers (the form of the paper's Tables 1
and 6–11).
""",
}


def drawer(page: str) -> gr.Accordion:
    """Lay the drawer of a page out here."""
    with gr.Accordion("What am I looking at?", open=False, elem_id=f"about-{page}") as found:
        gr.Markdown(TEXTS[page].strip())
    return found
