"""Backward pass of the folded memory layer in Triton: gradients of tokens, then of A, c and B.

Both kernels compute the scores again, from x and the `lse` of the forward pass.
"""

# ruff: noqa: N803, N806 - constants of a kernel are upper case, as in Triton's own code

from __future__ import annotations

import triton
import triton.language as tl

from memattn.torch.backends.triton_tiles import (
    LN2,
    dot,
    falls,
    head_logits,
    scores,
    times_b,
    token_tile,
    weight_tile,
)


@triton.jit
def _score_gradients(
    product,
    fallen,
    batch,
    step,
    rows,
    s,
    head,
    gs_ptr,
    gs_b,
    gs_h,
    gs_t,
    gs_s,
    S: tl.constexpr,
    DROPS: tl.constexpr,
    GRAD_SCORES: tl.constexpr,
    SCORES_FACTOR: tl.constexpr,
):
    """Return dP (BN, BS) from G·B_hᵀ, with dropout and the gradients of the returned scores."""
    dp = product
    if DROPS:
        dp *= fallen
    if GRAD_SCORES:
        pointers = gs_ptr + (batch * gs_b + head * gs_h + step * gs_t)[:, None]
        pointers += (s.to(tl.int64) * gs_s)[None, :]
        more = tl.load(pointers, mask=rows[:, None] & (s < S)[None, :], other=0.0)
        dp += more.to(tl.float32) * SCORES_FACTOR
    return dp


@triton.jit
def _logits_gradients(p, dp, delta, lse, logits, MASKED: tl.constexpr):
    """Return dL = P ∘ (dP − δ), for logits to base 2; 0 for masked slots."""
    gradient = p * (dp - delta[:, None]) * LN2
    if MASKED:
        gradient = tl.where(logits == float("-inf"), 0.0, gradient)
    return gradient


@triton.jit
def tokens_kernel(
    x_ptr,
    g_ptr,
    a_ptr,
    c_ptr,
    b_ptr,
    am_ptr,
    qm_ptr,
    vm_ptr,
    seed_ptr,
    lse_ptr,
    gs_ptr,
    dx_ptr,
    delta_ptr,
    N,
    T,
    x_b,
    x_t,
    g_b,
    g_t,
    am_b,
    am_t,
    am_s,
    gs_b,
    gs_h,
    gs_t,
    gs_s,
    first_step,
    first_sequence,
    threshold,
    factor,
    U: tl.constexpr,
    S: tl.constexpr,
    H: tl.constexpr,
    BN: tl.constexpr,
    BS: tl.constexpr,
    BO: tl.constexpr,
    BK: tl.constexpr,
    NEEDS_X: tl.constexpr,
    RESIDUAL: tl.constexpr,
    UNIFORM: tl.constexpr,
    AMASK: tl.constexpr,
    QMASK: tl.constexpr,
    VMASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPS: tl.constexpr,
    GRAD_SCORES: tl.constexpr,
    SCORES_FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute DX = G + Σ_h dL_h·A_hᵀ, and δ (H, N) = rowsum(P_h ∘ dP_h) for `weights_kernel`."""
    MASKED: tl.constexpr = AMASK or QMASK or VMASK or CAUSAL
    EVEN: tl.constexpr = (S % BS == 0) and (U % BO == 0)
    n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    rows = n < N
    batch = n // T
    step = n - batch * T
    x_rows = x_ptr + batch * x_b + step * x_t
    g_rows = g_ptr + batch * g_b + step * g_t
    o = tl.program_id(1) * BO + tl.arange(0, BO)
    acc = tl.zeros((BN, BO), tl.float32)
    if BK >= U:
        u = tl.arange(0, BK)
        x = token_tile(x_rows, rows, u, U, U % BK == 0).to(a_ptr.dtype.element_ty)
        g = token_tile(g_rows, rows, u, U, U % BK == 0).to(a_ptr.dtype.element_ty)
    else:
        x = rows  # not read
        g = rows
    for head in range(H):
        lse = tl.load(lse_ptr + head * N + n, mask=rows, other=float("inf"))
        delta = tl.zeros((BN,), tl.float32)
        if BS < S:  # several blocks of slots: first a pass for δ alone
            for start in range(0, S, BS):
                s = start + tl.arange(0, BS)
                logits = head_logits(
                    x, x_rows, n, rows, batch, step, s, head, a_ptr, c_ptr, am_ptr, am_b, am_t,
                    am_s, qm_ptr, vm_ptr, first_step, U, S, H, BN, BS, BK, AMASK, QMASK, VMASK,
                    CAUSAL, PRECISION,
                )  # fmt: skip
                product = times_b(g, g_rows, rows, b_ptr, s, head, U, S, BN, BS, BK, PRECISION)
                fallen = product  # not read without dropout
                if DROPS:
                    fallen = falls(
                        seed_ptr, batch, step, first_sequence, first_step, head, start, threshold,
                        factor, BN, BS,
                    )  # fmt: skip
                dp = _score_gradients(
                    product, fallen, batch, step, rows, s, head, gs_ptr, gs_b, gs_h, gs_t, gs_s,
                    S, DROPS, GRAD_SCORES, SCORES_FACTOR,
                )  # fmt: skip
                delta += tl.sum(scores(logits, lse, s, S, MASKED, UNIFORM) * dp, 1)
        if NEEDS_X or BS >= S:
            for start in range(0, S, BS):
                s = start + tl.arange(0, BS)
                logits = head_logits(
                    x, x_rows, n, rows, batch, step, s, head, a_ptr, c_ptr, am_ptr, am_b, am_t,
                    am_s, qm_ptr, vm_ptr, first_step, U, S, H, BN, BS, BK, AMASK, QMASK, VMASK,
                    CAUSAL, PRECISION,
                )  # fmt: skip
                product = times_b(g, g_rows, rows, b_ptr, s, head, U, S, BN, BS, BK, PRECISION)
                fallen = product  # not read without dropout
                if DROPS:
                    fallen = falls(
                        seed_ptr, batch, step, first_sequence, first_step, head, start, threshold,
                        factor, BN, BS,
                    )  # fmt: skip
                dp = _score_gradients(
                    product, fallen, batch, step, rows, s, head, gs_ptr, gs_b, gs_h, gs_t, gs_s,
                    S, DROPS, GRAD_SCORES, SCORES_FACTOR,
                )  # fmt: skip
                p = scores(logits, lse, s, S, MASKED, UNIFORM)
                if BS >= S:
                    delta = tl.sum(p * dp, 1)
                if NEEDS_X:
                    dl = _logits_gradients(p, dp, delta, lse, logits, MASKED)
                    a = weight_tile(a_ptr + head * S, o, s, H * S, U, S, EVEN)
                    acc = dot(dl.to(a.dtype), tl.trans(a), acc, PRECISION)
        tl.store(delta_ptr + head * N + n, delta, mask=rows & (tl.program_id(1) == 0))
    if NEEDS_X:
        if RESIDUAL:
            acc += token_tile(g_rows, rows, o, U, U % BO == 0).to(tl.float32)
        tl.store(
            dx_ptr + n[:, None] * U + o[None, :],
            acc.to(dx_ptr.dtype.element_ty),
            mask=rows[:, None] & (o < U)[None, :],
        )


@triton.jit
def weights_kernel(
    x_ptr,
    g_ptr,
    a_ptr,
    c_ptr,
    b_ptr,
    am_ptr,
    qm_ptr,
    vm_ptr,
    seed_ptr,
    lse_ptr,
    delta_ptr,
    gs_ptr,
    da_ptr,
    dc_ptr,
    db_ptr,
    N,
    T,
    PART,
    x_b,
    x_t,
    g_b,
    g_t,
    am_b,
    am_t,
    am_s,
    gs_b,
    gs_h,
    gs_t,
    gs_s,
    first_step,
    first_sequence,
    threshold,
    factor,
    U: tl.constexpr,
    S: tl.constexpr,
    H: tl.constexpr,
    BN: tl.constexpr,
    BS: tl.constexpr,
    BO: tl.constexpr,
    BK: tl.constexpr,
    UNIFORM: tl.constexpr,
    AMASK: tl.constexpr,
    QMASK: tl.constexpr,
    VMASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPS: tl.constexpr,
    GRAD_SCORES: tl.constexpr,
    SCORES_FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute dAᵀ, dc, dB (parts, H, S, …) of PART tokens each; BS slots and BO units a program."""
    MASKED: tl.constexpr = AMASK or QMASK or VMASK or CAUSAL
    SLOTS: tl.constexpr = (S + BS - 1) // BS
    head = tl.program_id(0) // SLOTS
    start = (tl.program_id(0) % SLOTS) * BS
    part = tl.program_id(1).to(tl.int64)
    s = start + tl.arange(0, BS)
    o = tl.program_id(2) * BO + tl.arange(0, BO)
    da = tl.zeros((BS, BO), tl.float32)
    db = tl.zeros((BS, BO), tl.float32)
    dc = tl.zeros((BS,), tl.float32)
    for first in range(0, PART, BN):
        n = part * PART + first + tl.arange(0, BN)
        rows = n < N
        batch = n // T
        step = n - batch * T
        x_rows = x_ptr + batch * x_b + step * x_t
        g_rows = g_ptr + batch * g_b + step * g_t
        if BK >= U:
            u = tl.arange(0, BK)
            x = token_tile(x_rows, rows, u, U, U % BK == 0).to(a_ptr.dtype.element_ty)
            g = token_tile(g_rows, rows, u, U, U % BK == 0).to(a_ptr.dtype.element_ty)
        else:
            x = rows  # not read
            g = rows
        lse = tl.load(lse_ptr + head * N + n, mask=rows, other=float("inf"))
        delta = tl.load(delta_ptr + head * N + n, mask=rows, other=0.0)
        logits = head_logits(
            x, x_rows, n, rows, batch, step, s, head, a_ptr, c_ptr, am_ptr, am_b, am_t, am_s,
            qm_ptr, vm_ptr, first_step, U, S, H, BN, BS, BK, AMASK, QMASK, VMASK, CAUSAL,
            PRECISION,
        )  # fmt: skip
        product = times_b(g, g_rows, rows, b_ptr, s, head, U, S, BN, BS, BK, PRECISION)
        fallen = product  # not read without dropout
        if DROPS:
            fallen = falls(
                seed_ptr, batch, step, first_sequence, first_step, head, start, threshold,
                factor, BN, BS,
            )  # fmt: skip
        dp = _score_gradients(
            product, fallen, batch, step, rows, s, head, gs_ptr, gs_b, gs_h, gs_t, gs_s, S,
            DROPS, GRAD_SCORES, SCORES_FACTOR,
        )  # fmt: skip
        p = scores(logits, lse, s, S, MASKED, UNIFORM)
        dl = _logits_gradients(p, dp, delta, lse, logits, MASKED)
        if DROPS:
            p *= fallen
        if BK >= U and BO == BK:
            x_out = x
            g_out = g
        else:
            x_out = token_tile(x_rows, rows, o, U, U % BO == 0).to(a_ptr.dtype.element_ty)
            g_out = token_tile(g_rows, rows, o, U, U % BO == 0).to(a_ptr.dtype.element_ty)
        db = dot(tl.trans(p.to(g_out.dtype)), g_out, db, PRECISION)
        da = dot(tl.trans(dl.to(x_out.dtype)), x_out, da, PRECISION)
        dc += tl.sum(dl, 0)
    row = (part * H + head) * S + s
    inside = (s < S)[:, None] & (o < U)[None, :]
    tl.store(da_ptr + row[:, None] * U + o[None, :], da, mask=inside)
    tl.store(db_ptr + row[:, None] * U + o[None, :], db, mask=inside)
    tl.store(dc_ptr + row, dc, mask=(s < S) & (tl.program_id(2) == 0))
