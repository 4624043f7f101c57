"""Forward pass of the folded memory layer in Triton: y, and the scores if a call wants them."""

# ruff: noqa: N803, N806 - constants of a kernel are upper case, as in Triton's own code

from __future__ import annotations

import triton
import triton.language as tl

from memattn.torch.backends.triton_tiles import (
    dot,
    falls,
    head_logits,
    scores,
    token_tile,
    weight_tile,
)


@triton.jit
def forward_kernel(
    x_ptr,
    a_ptr,
    c_ptr,
    b_ptr,
    bo_ptr,
    am_ptr,
    qm_ptr,
    vm_ptr,
    seed_ptr,
    y_ptr,
    lse_ptr,
    N,
    T,
    x_b,
    x_t,
    am_b,
    am_t,
    am_s,
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
    KEEP_LSE: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    UNIFORM: tl.constexpr,
    AMASK: tl.constexpr,
    QMASK: tl.constexpr,
    VMASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute Y = X + Σ_h softmax(X·A_h + c_h)·B_h + bo; BN tokens and BO units a program."""
    MASKED: tl.constexpr = AMASK or QMASK or VMASK or CAUSAL
    n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    rows = n < N
    batch = n // T
    step = n - batch * T
    x_rows = x_ptr + batch * x_b + step * x_t
    o = tl.program_id(1) * BO + tl.arange(0, BO)
    acc = tl.zeros((BN, BO), tl.float32)
    if BK >= U:
        x = token_tile(x_rows, rows, tl.arange(0, BK), U, U % BK == 0).to(a_ptr.dtype.element_ty)
    else:
        x = rows  # not read
    for head in range(H):
        shift = tl.full((BN,), float("-inf"), tl.float32)
        total = tl.zeros((BN,), tl.float32)
        if BS < S:  # several blocks of slots: first a pass for the sums of the softmax alone
            for start in range(0, S, BS):
                s = start + tl.arange(0, BS)
                logits = head_logits(
                    x, x_rows, n, rows, batch, step, s, head, a_ptr, c_ptr, am_ptr, am_b, am_t,
                    am_s, qm_ptr, vm_ptr, first_step, U, S, H, BN, BS, BK, AMASK, QMASK, VMASK,
                    CAUSAL, PRECISION,
                )  # fmt: skip
                largest = tl.maximum(shift, tl.max(logits, 1))
                finite = tl.where(largest == float("-inf"), 0.0, largest)
                total = total * tl.exp2(shift - finite)
                total += tl.sum(tl.exp2(logits - finite[:, None]), 1)
                shift = largest
        for start in range(0, S, BS):
            s = start + tl.arange(0, BS)
            logits = head_logits(
                x, x_rows, n, rows, batch, step, s, head, a_ptr, c_ptr, am_ptr, am_b, am_t, am_s,
                qm_ptr, vm_ptr, first_step, U, S, H, BN, BS, BK, AMASK, QMASK, VMASK, CAUSAL,
                PRECISION,
            )  # fmt: skip
            if BS >= S:
                shift = tl.max(logits, 1)
            finite = shift
            if MASKED:
                finite = tl.where(shift == float("-inf"), 0.0, shift)
            p = tl.exp2(logits - finite[:, None])
            if BS >= S:
                total = tl.sum(p, 1)
            if MASKED:
                nothing = total == 0.0
                p *= (1.0 / tl.where(nothing, 1.0, total))[:, None]
                if UNIFORM:
                    p = tl.where(nothing[:, None] & (s < S)[None, :], 1.0 / S, p)
            else:
                p *= (1.0 / total)[:, None]
            if DROPS:
                p *= falls(
                    seed_ptr, batch, step, first_sequence, first_step, head, start, threshold,
                    factor, BN, BS,
                )  # fmt: skip
            b = weight_tile(
                b_ptr + head * S * U, s, o, U, S, U, (S % BS == 0) and (U % BO == 0)
            )  # fmt: skip
            acc = dot(p.to(b.dtype), b, acc, PRECISION)
        if KEEP_LSE:
            if MASKED:
                nothing = total == 0.0
                lse = shift + tl.log2(tl.where(nothing, 1.0, total))
                lse = tl.where(nothing, float("inf"), lse)
            else:
                lse = shift + tl.log2(total)
            tl.store(lse_ptr + head * N + n, lse, mask=rows & (tl.program_id(1) == 0))
    if BIAS:
        acc += tl.load(bo_ptr + o, mask=o < U, other=0.0)[None, :]
    if RESIDUAL:
        acc += token_tile(x_rows, rows, o, U, U % BO == 0).to(tl.float32)
    tl.store(
        y_ptr + n[:, None] * U + o[None, :],
        acc.to(y_ptr.dtype.element_ty),
        mask=rows[:, None] & (o < U)[None, :],
    )


@triton.jit
def scores_kernel(
    x_ptr,
    a_ptr,
    c_ptr,
    am_ptr,
    qm_ptr,
    vm_ptr,
    lse_ptr,
    scores_ptr,
    N,
    T,
    x_b,
    x_t,
    am_b,
    am_t,
    am_s,
    first_step,
    U: tl.constexpr,
    S: tl.constexpr,
    H: tl.constexpr,
    BN: tl.constexpr,
    BS: tl.constexpr,
    BK: tl.constexpr,
    MEAN: tl.constexpr,
    UNIFORM: tl.constexpr,
    AMASK: tl.constexpr,
    QMASK: tl.constexpr,
    VMASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write the scores (B, H, T, S), or their mean over heads (B, T, S), before dropout."""
    n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    rows = n < N
    batch = n // T
    step = n - batch * T
    x_rows = x_ptr + batch * x_b + step * x_t
    s = tl.program_id(1) * BS + tl.arange(0, BS)
    inside = rows[:, None] & (s < S)[None, :]
    if BK >= U:
        x = token_tile(x_rows, rows, tl.arange(0, BK), U, U % BK == 0).to(a_ptr.dtype.element_ty)
    else:
        x = rows  # not read
    mean = tl.zeros((BN, BS), tl.float32)
    for head in range(H):
        logits = head_logits(
            x, x_rows, n, rows, batch, step, s, head, a_ptr, c_ptr, am_ptr, am_b, am_t, am_s,
            qm_ptr, vm_ptr, first_step, U, S, H, BN, BS, BK, AMASK, QMASK, VMASK, CAUSAL,
            PRECISION,
        )  # fmt: skip
        lse = tl.load(lse_ptr + head * N + n, mask=rows, other=float("inf"))
        p = scores(logits, lse, s, S, AMASK or QMASK or VMASK or CAUSAL, UNIFORM)
        if MEAN:
            mean += p
        else:
            pointers = scores_ptr + (((batch * H + head) * T + step) * S)[:, None] + s[None, :]
            tl.store(pointers, p.to(scores_ptr.dtype.element_ty), mask=inside)
    if MEAN:
        pointers = scores_ptr + (n * S)[:, None] + s[None, :]
        tl.store(pointers, (mean * (1.0 / H)).to(scores_ptr.dtype.element_ty), mask=inside)
