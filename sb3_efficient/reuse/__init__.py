"""
Only what changed: convolutions that are computed where their input is not what it was in the frame before.

After Khachatourian, "Reusing Convolutional Activations from Frame to Frame to Speed up Training and
Inference" (2019), arXiv 1909.05632. In ``changes`` is what is computed where something changed, in ``patches`` what is
remembered by what it was computed from; ``acting`` and ``updating`` bring both to extractors. Importing this package
imports no compiler.
"""
