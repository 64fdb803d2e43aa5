"""Which faults of a job are a lack of memory, and whose; and giving memory back. In the worker's process only."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gc
import sys

GPU, CPU = "graphics memory", "memory"

_GPU_WORDS = (
    "CUDA error: out of memory",
    "HIP error: out of memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HIPBLAS_STATUS_ALLOC_FAILED",
)
"""What torch says where it has no type of its own for it: when the card was full before its allocator was asked."""
_CPU_WORDS = ("DefaultCPUAllocator",)


def lacking(error: BaseException) -> str:
    """Return GPU or CPU by whose memory did not suffice, or '' if the error is another."""
    torch = sys.modules.get("torch")
    kinds = {getattr(torch, "OutOfMemoryError", None), getattr(getattr(torch, "cuda", None), "OutOfMemoryError", None)}
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if any(kind is not None and isinstance(error, kind) for kind in kinds):
            return GPU
        if isinstance(error, MemoryError):
            return CPU
        if isinstance(error, RuntimeError):
            if any(words in str(error) for words in _GPU_WORDS):
                return GPU
            if any(words in str(error) for words in _CPU_WORDS):
                return CPU
        error = error.__cause__ or error.__context__
    return ""


def give_back() -> None:
    """Give the graphics memory that torch keeps in reserve back to everybody; what is loaded stays."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    cuda, mps = getattr(torch, "cuda", None), getattr(torch, "mps", None)
    if cuda is not None and cuda.is_initialized():
        gc.collect()
        cuda.empty_cache()
    if mps is not None and torch.backends.mps.is_available():
        gc.collect()
        mps.empty_cache()
