"""
What numba compiles for this CPU's vector units: convolutions, linear layers, comparisons of images, max-pooling.

From ``jit`` (the compiler) over ``vectors`` (registers) and ``tiles`` (their sums) to whole kernels, in float32 and, by
the names with ``int8``, in bytes. Importing this package imports no compiler.
"""
