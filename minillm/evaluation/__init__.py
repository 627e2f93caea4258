"""What a model is worth: perplexity on a text, and accuracy on tasks. One module each; both give events and a number.

Numbers of two protocols are never mixed, so each carries what makes it comparable: text, window, tokens, dtype.
"""
