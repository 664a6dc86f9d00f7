"""
Only what changed: convolutions that are computed where their input is not what it was in the frame before.

After Khachatourian, "Reusing Convolutional Activations from Frame to Frame to Speed up Training and
Inference" (2019), arXiv 1909.05632. Importing this package imports no compiler.
"""
