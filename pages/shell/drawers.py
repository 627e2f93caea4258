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
    "gradient": """
MINI-LLM's score is |W·g·X| (**Eq. 6**), with the gradient g estimated from losses alone: two forward passes at W ± εz
give one number, c (**Eqs. 7 and 8**), and ĝ = c / z goes into the score (**Eq. 9**). c is the same for every weight.
With one z it is a factor of all scores and drops out of every ranking; with z = ±1 what is left is Wanda exactly.
Averaging over n directions brings the loss in, but one number a direction has to fill as many unknowns as there are
weights: c is right, the dimension is too large. With one unknown a **group** there are fewer, and with the reverse walk
the exact gradient costs little memory.

The **noise-only control** is the same z with every c set to 1: what it shares with the exact scores it owes to W, X
and chance. **Wanda** is the whole formula without a gradient. Each estimate is held against its own exact counterpart:
Eq. 6 by backprop, without X LLM-Pruner's |W·g| (Eq. 3), for groups the derivative of their mask.

**Try:** compare channels with head groups, then measure more directions over groups and see where their line goes.
""",
    "xray": """
Every **head group** and every **channel** is a cell, each block a row; what goes at this ratio fades. A plan is made
inside each block, lowest rank first, so that in the order *lowest first* the cut is one edge; how far right it lies in
a block is the **allocation**'s doing.

What you cut with the **knife** is not removed: it is **masked**
where it writes back to the residual stream (the columns of o and down), which gives exactly what the cut model would
say, and no weight changes. **KL** says how far the next word's distribution has moved, in nats; **perplexity** how much
more the sentence itself surprises the cut model. *Restore what matters most* finds the group whose return lowers that
surprise most: by the derivative of the loss by each mask (the paper's importance of a group, to first order), of which
the best eight are then tried.

**Try:** lay the paper's estimate over `wanda`: what does only one of them cut? Then take the knife, cut head groups of
one block after the other and watch where the answer breaks; and what is faded at 0.20 under two criteria: which one
leaves the sentence alone?
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
    "experiments": """
A **sweep** is many recipes from one file: models, criteria, ratios, ranges of blocks, seeds, recoveries, and what is
measured of each. What cells share is done once (one scoring serves all ratios, the model itself is measured once), each
cell is a variant of a run, and a sweep that was stopped or killed goes on with what is missing. There is one for every
table and figure of the MINI-LLM paper; its values are drawn beside yours only where the model is the paper's.

**Look for** the spread over seeds beside every mean: a difference smaller than that is none. **Try:** Figure 5 on the
embedded model, and see whether sparing the first blocks helps here too.
""",
    "runs": """
A **run** is a recipe (model, text, seed and what else was asked) with everything that came of it. It has an address:
send its link to someone on this machine and they see the same, also while a job is under way. **Perplexity** is how
many words the model hesitates between; compare it only at the same text, window, token count and dtype, which is why
these stand beside it.

**Try:** tick two runs to see which settings differ and what that did to the numbers (the form of the paper's Tables 1
and 6–11). *Copy as Python* gives code that finds the same scores to the last bit; *Save report* one file with every
picture live, which needs neither this app nor a network.
""",
    "methods": """
Every line here is read from the same records as the form on the Score page, `python -m minillm criteria` and the table
in `docs/criteria.md`, so that none can say something else. Four of the criteria are one computation: |W·g| or |W·g·X|
(**Eqs. 3 and 6**), with g by backpropagation or estimated from forward passes (**Eqs. 7–9**).

**Look for** what a criterion reads, because that is what it costs, and for where it differs from its original.
**Try:** take two that differ in one thing only, such as `llm-pruner` and `fms-bp`, and see on the Compare page what
that thing does.
""",
}


def drawer(page: str) -> gr.Accordion:
    """Lay the drawer of a page out here."""
    with gr.Accordion("What am I looking at?", open=False, elem_id=f"about-{page}") as found:
        gr.Markdown(TEXTS[page].strip())
    return found
