"""What to look for in each figure, for the host to print below it: a caption for each function of this package.

Where a figure takes another form than its usual one (head groups as dots, few head groups as counts), it carries that
form's caption itself.
"""

CAPTIONS: dict[str, str] = {
    "score_bands": "Strong: the middle half of a block's channels. Pale: all but the lowest and the highest 5 %. Line: "
    "the median. Look for blocks that lie low or spread wide; only groups of the same block compete for what is cut.",
    "score_dots": "Each mark is a head group. Look for blocks whose marks lie far apart: there the choice is clear. "
    "Only head groups of the same block compete for what is cut.",
    "sorted_map": "Every row is a block with its channels sorted, so a column is not a channel. Look for blocks that "
    "stay dark far beyond the cut line: they could give more.",
    "kept_map": "Channels in the model's own order. A dark stripe is a stretch that goes; an even tone means that the "
    "cut is spread like chance.",
    "heads_grid": "Dark head groups rank lowest in their block; crosses are cut. Few head groups a block mean a coarse "
    "choice: one of three is a third of the attention.",
    "drill_down": "The steeper the curve at the cut, the clearer the choice. Point at the curve for a group's rank "
    "under every criterion; click for its exact scores.",
    "overlap_lines": "The dashed grey line is what two random choices of the same size would share. Only the distance "
    "above it says that two criteria agree.",
    "overlap_counts": "Digits say how many of the reference's head groups in a block the other chose as well. With "
    "so few a single block means little: compare the means with chance.",
    "overlap_matrix": "Rows are the reference: of what the row chose, how much the column chose too, as a mean over "
    "the blocks. By likeness, criteria that cut alike stand side by side; by what they judge by, lines part nothing, "
    "weights, activations, sub-models, exact and estimated gradient. Click a cell for a closer look at that pair; its "
    "row becomes the reference.",
    "rank_density": "A bright diagonal: the two rank alike. An even field: they know nothing of each other. What "
    "matters for cutting is the lower left corner.",
    "fidelity_lines": "How alike each estimate ranks the groups of a block to the same formula with the exact "
    "gradient: 1 the same order, 0 chance. Bands: all seeds. Only what rises above the grey line, noise without any "
    "loss, comes from the gradient; only what rises above Wanda is worth its passes.",
    "fidelity_dots": "Marks: the median over seeds; bars: all seeds. A mark on the chance line knows nothing. An "
    "estimate whose cross stands at 100 % cuts what its noise alone would cut.",
    "memory_timeline": "Each band is as high as the peak within its phase. Where it stands far above the measured "
    "line, the memory was needed only for a moment.",
    "peak_bars": "Grey is what holding the model costs anyway; colour is what scoring adds. The paper's claim is about "
    "the coloured part: backpropagation through the whole model at once doubles the bar.",
    "recovery_curve": "Training loss may go on falling while evaluation perplexity rises again: the star is what is "
    "kept.",
    "curves_compared": "Rows held out of each recovery's own text: compare heights only where text and length are the "
    "same; the large marks are what was kept.",
    "plan_bars": "What is really cut. Head groups are whole, so they jump in steps, and the channels make up the "
    "difference, sometimes downwards.",
    "search_curve": "Best: of all allocations tried so far, on the same rows of text. Median: of those judged in full "
    "in a generation. Where the two meet and stay flat, the search has found what it can find.",
    "sensitivity_panels": "High blocks should give little. The measures need not agree: the Fisher trace looks at an "
    "infinitely small change, masking at a real one, removal at the whole, influence and update only at what passes.",
    "foretold_scatter": "Each point is the attention or the FFN of one block without the 30 % of its groups that score "
    "lowest. On the line the cut costs what its scores foretold; above it, more. Points far from it are blocks where "
    "an allocation that adds costs up should not be believed.",
    "influence_rows": "How far a block turns what passes: 1 − cos of what enters and what leaves, mean over tokens. "
    "The lowest blocks are those that ShortGPT drops first; what the loss would lose without them is not said.",
    "allocation_bars": "All bars of a colour add up to the same number of parameters, or where whole blocks go to one "
    "as near as they come. Look for blocks that the search spares and the others cut, or the other way round. A name "
    "in the legend shows or hides its bars.",
    "domain_bars": "Of each block, from below: what goes on every text, what goes on some, what stays on every one. "
    "The dashed lines are where both edges would be if the texts' choices knew nothing of each other: the closer the "
    "hatched middle is to filling the space between them, the more the text decides.",
    "domain_lines": "Of what is cut on the first text, how much is cut on another one as well. The dashed grey line is "
    "what two choices of the same size that know nothing of each other would share; only what lies above it is agreed.",
    "masks_map": "A row for each head group, or attention and FFN, block after block. Rows that turn bright are found "
    "to matter, rows that turn dark are not; a row that flickers is not decided yet.",
    "masks_curve": "Every ring is the mean loss of one step's masked models; the line is what losses are held against. "
    "Rings scatter because masks and rows are drawn anew: look whether the line falls.",
    "masks_gradient": "A rising cloud: what was learned from forward passes alone agrees with the exact gradient of "
    "the same masks, taken where they began. Marks at 0 and 1 have met the bounds and can only be moved by the budget.",
    "ratio_lines": "Bars are the spread over seeds; lines closer than that are not told apart. The dotted line is the "
    "model itself; diamonds, where there are any, are what the paper prints.",
    "quality_dots": "Down and to the left is better (of accuracies, up and to the left). Stars: models as they came; "
    "what lies left of one and hardly above it was cut well. Only numbers measured in the same way are drawn together.",
    "row_bars": "One row of the table each, with its spread over seeds where there are several.",
    "range_bars": "Hatched: how many of the blocks may be cut. Stars: the mean over ratios (logarithmic), lower is "
    "better. The fewer blocks pay, the more each of them has to.",
    "speed_bars": "Measured in turns with the dense model. Reading is bound by multiplications, writing by the bytes "
    "of the weights; where a bar stays below its hatched neighbour, something else takes the time.",
}
