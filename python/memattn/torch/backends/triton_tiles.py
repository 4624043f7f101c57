"""Parts that the Triton kernels of the folded memory layer share: tiles, logits, masks, dropout.

Shapes are those of docs/math.md: N = B·T tokens, U units, S slots, H heads. A (U, H·S) and c (H·S)
are scaled by log2(e), so that the softmax uses powers of 2; B is (H·S, U). One program computes BN
tokens (rows of a tile), BS slots and BO units at a time, and sums over units in blocks of BK.

The block sizes depend on the layer and never on N, and the rows of a tile do not depend on each
other, so a token gives the same bits in every batch. There are no atomic sums: gradients of weights
are summed over parts of the tokens, in order, and then over the parts.

`lse` (H, N) is log2 of the softmax's denominator; infinity marks a token without a slot to read.
"""

# ruff: noqa: N803, N806 - constants of a kernel are upper case, as in Triton's own code

from __future__ import annotations

import triton
import triton.language as tl

LN2 = tl.constexpr(0.6931471805599453)
# Triton's interpreter would multiply the bits of bfloat16 as integers.
_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def dot(a, b, acc, PRECISION: tl.constexpr):
    """Return acc + a·b; acc is in float32."""
    if _INTERPRETED:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, acc, input_precision=PRECISION)


@triton.jit
def token_tile(row_pointers, rows, columns, U: tl.constexpr, EVEN_U: tl.constexpr):
    """Load (BN, columns) of tokens."""
    pointers = row_pointers[:, None] + columns[None, :]
    if EVEN_U:
        tile = tl.load(pointers, mask=rows[:, None], other=0.0)
    else:
        tile = tl.load(pointers, mask=rows[:, None] & (columns < U)[None, :], other=0.0)
    return tile


@triton.jit
def weight_tile(
    pointer,
    rows,
    columns,
    stride: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Load a block of a matrix with `stride` numbers a row, zeros outside of (ROWS, COLUMNS)."""
    pointers = pointer + rows[:, None] * stride + columns[None, :]
    if EVEN:
        tile = tl.load(pointers)
    else:
        inside = (rows < ROWS)[:, None] & (columns < COLUMNS)[None, :]
        tile = tl.load(pointers, mask=inside, other=0.0)
    return tile


@triton.jit
def _times_a(
    x,
    x_rows,
    rows,
    a_ptr,
    s,
    head,
    U: tl.constexpr,
    S: tl.constexpr,
    H: tl.constexpr,
    BN: tl.constexpr,
    BS: tl.constexpr,
    BK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return x·A_h (BN, BS) for the slots s; x is the tile if one block holds all units."""
    EVEN_U: tl.constexpr = U % BK == 0
    EVEN: tl.constexpr = EVEN_U and (S % BS == 0)
    a_head = a_ptr + head * S
    if BK >= U:
        a = weight_tile(a_head, tl.arange(0, BK), s, H * S, U, S, EVEN)
        product = dot(x, a, tl.zeros((BN, BS), tl.float32), PRECISION)
    else:
        product = tl.zeros((BN, BS), tl.float32)
        for start in range(0, U, BK):
            u = start + tl.arange(0, BK)
            a = weight_tile(a_head, u, s, H * S, U, S, EVEN)
            block = token_tile(x_rows, rows, u, U, EVEN_U).to(a.dtype)
            product = dot(block, a, product, PRECISION)
    return product


@triton.jit
def times_b(
    g,
    g_rows,
    rows,
    b_ptr,
    s,
    head,
    U: tl.constexpr,
    S: tl.constexpr,
    BN: tl.constexpr,
    BS: tl.constexpr,
    BK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return G·B_hᵀ (BN, BS) for the slots s; g is the tile if one block holds all units."""
    EVEN_U: tl.constexpr = U % BK == 0
    EVEN: tl.constexpr = EVEN_U and (S % BS == 0)
    b_head = b_ptr + head * S * U
    if BK >= U:
        b = weight_tile(b_head, s, tl.arange(0, BK), U, S, U, EVEN)
        product = dot(g, tl.trans(b), tl.zeros((BN, BS), tl.float32), PRECISION)
    else:
        product = tl.zeros((BN, BS), tl.float32)
        for start in range(0, U, BK):
            u = start + tl.arange(0, BK)
            b = weight_tile(b_head, s, u, U, S, U, EVEN)
            block = token_tile(g_rows, rows, u, U, EVEN_U).to(b.dtype)
            product = dot(block, tl.trans(b), product, PRECISION)
    return product


@triton.jit
def _kept(
    n,
    rows,
    batch,
    step,
    s,
    am_ptr,
    am_b,
    am_t,
    am_s,
    qm_ptr,
    vm_ptr,
    first_step,
    S: tl.constexpr,
    AMASK: tl.constexpr,
    QMASK: tl.constexpr,
    VMASK: tl.constexpr,
    CAUSAL: tl.constexpr,
):
    """Return whether each token may read each slot (BN, BS)."""
    keep = rows[:, None] & (s < S)[None, :]
    if AMASK:
        pointers = am_ptr + (batch * am_b + step * am_t)[:, None] + (s * am_s)[None, :]
        keep = keep & (tl.load(pointers, mask=keep, other=0) != 0)
    if QMASK:
        keep = keep & (tl.load(qm_ptr + n, mask=rows, other=0) != 0)[:, None]
    if VMASK:
        pointers = vm_ptr + (batch * S)[:, None] + s[None, :]
        keep = keep & (tl.load(pointers, mask=keep, other=0) != 0)
    if CAUSAL:
        keep = keep & (s[None, :] <= (first_step + step)[:, None])
    return keep


@triton.jit
def scores(logits, lse, s, S: tl.constexpr, MASKED: tl.constexpr, UNIFORM: tl.constexpr):
    """Return the scores (BN, BS), from the logits and the `lse` of the forward pass."""
    p = tl.exp2(logits - lse[:, None])
    if MASKED and UNIFORM:
        alike = (lse == float("inf"))[:, None] & (s < S)[None, :]
        p = tl.where(alike, 1.0 / S, p)
    return p


@triton.jit
def falls(
    seed_ptr,
    batch,
    step,
    first_sequence,
    first_step,
    head,
    start,
    threshold,
    factor,
    BN: tl.constexpr,
    BS: tl.constexpr,
):
    """Return the dropout factors of the scores (BN, BS): 0, or 1/(1 − r).

    They depend only on the seed, the positions of sequence and step, the head and the slot.
    """
    seed = tl.load(seed_ptr)
    quarter = start // 4 + tl.arange(0, BS // 4)
    zeros = tl.zeros((BN, BS // 4), tl.int32)
    c0 = zeros + (first_sequence + batch).to(tl.int32)[:, None]
    c1 = zeros + (first_step + step).to(tl.int32)[:, None]
    r0, r1, r2, r3 = tl.philox(seed, c0, c1, zeros + head, zeros + quarter[None, :])
    # One call gives four numbers, for four adjacent slots.
    numbers = tl.reshape(tl.join(tl.join(r0, r1), tl.join(r2, r3)), (BN, BS))
    return tl.where((numbers >> 9).to(tl.int32) >= threshold, factor, 0.0)


@triton.jit
def head_logits(
    x,
    x_rows,
    n,
    rows,
    batch,
    step,
    s,
    head,
    a_ptr,
    c_ptr,
    am_ptr,
    am_b,
    am_t,
    am_s,
    qm_ptr,
    vm_ptr,
    first_step,
    U: tl.constexpr,
    S: tl.constexpr,
    H: tl.constexpr,
    BN: tl.constexpr,
    BS: tl.constexpr,
    BK: tl.constexpr,
    AMASK: tl.constexpr,
    QMASK: tl.constexpr,
    VMASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return the logits of a head (BN, BS) to base 2; -inf for masked slots and beyond the last."""
    logits = _times_a(x, x_rows, rows, a_ptr, s, head, U, S, H, BN, BS, BK, PRECISION)
    logits += tl.load(c_ptr + head * S + s, mask=s < S, other=float("-inf"))[None, :]
    if AMASK or QMASK or VMASK or CAUSAL:
        keep = _kept(
            n, rows, batch, step, s, am_ptr, am_b, am_t, am_s, qm_ptr, vm_ptr, first_step, S,
            AMASK, QMASK, VMASK, CAUSAL,
        )  # fmt: skip
        logits = tl.where(keep, logits, float("-inf"))
    return logits
