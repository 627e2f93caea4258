"""Mixed sparsity: how much each block gives up, measured, searched for and compared (MSP: Xu et al. 2025).

`evolution` knows integer levels under a budget and nothing of models; what levels mean is said beside it.
"""
