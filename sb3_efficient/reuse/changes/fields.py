"""
Columns of the table that compiled code reads a network from: one row a step, plain int64.

Offsets of numbers count words of four bytes (a float32, or four bytes in int8), those of masks count words of 64 bits;
both in the state of one environment.
Addresses are those of what all environments share.
"""

from __future__ import annotations

#: Kinds of steps
SCAN, CONV, MAX_POOL, AVERAGE, ADAPTIVE_MAX, LINEAR, FLATTEN = range(7)

(
    KIND,
    #: Offset of the first number that the result at (0, 0) reads, with the padding where that is stored
    SOURCE,
    SOURCE_MASK,
    SOURCE_HEIGHT,
    SOURCE_WIDTH,
    SOURCE_CHANNELS,
    #: Numbers from one row of the map to the next
    SOURCE_STEP,
    KERNEL,
    STRIDE,
    PADDING,
    HEIGHT,
    WIDTH,
    CHANNELS,
    STEP,
    #: Offsets of the result, without padding; -1 where nobody reads it
    RAW,
    RELU,
    RAW_MASK,
    RELU_MASK,
    RESIDUAL,
    RESIDUAL_MASK,
    #: Addresses
    WEIGHTS,
    BIAS,
    #: Offset of the input that the linear layer has seen, counted in numbers, or of the bytes of the observation
    SEEN,
    #: Offsets of the list of inputs that changed (int32), and by how much, counted in what they are
    INDEXES,
    FACTORS,
    #: Offset of the running total, counted in float64, or in int32 in int8
    TOTAL,
    #: Offset of two counters, counted in words: frames since the total was made anew, and length of the list
    COUNTERS,
    #: Outputs of the linear layer, and whether a ReLU follows; channels of the image, or that are flattened
    OUTPUTS,
    ACTIVATION,
    #: In int8: address of what sums are multiplied with, and what stands for zero in what that gives
    SCALES,
    ZERO,
    #: In int8: address of how the residual is added, and what stands for zero in the result
    SUM,
    FLOOR,
    N_FIELDS,
) = range(34)
