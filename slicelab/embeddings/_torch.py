"""What the embedders share of torch: devices, memory, the state and the fingerprint of a module."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_FIRST_CHOICE = ("image_embeds", "pooler_output", "last_hidden_state", "x_norm_clstoken")
_MEMORY_WORDS = ("out of memory", "allocate memory", "failed to allocate")


def pick_device(device: str = "auto") -> str:
    """Return the torch device that is meant: for "auto" cuda, else mps, else cpu.

    Raises
    ------
    InvalidInputError
        No such device is here.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(
            f"The device {device!r} can't be used: {reason} Use 'auto', 'cpu', or a device that torch sees here."
        ) from error
    return device


def same_device(one: str, other: str) -> bool:
    """Tell whether two device names mean one device ("cuda" is the first of its kind)."""
    import torch

    a, b = torch.device(one), torch.device(other)
    return a.type == b.type and (a.index or 0) == (b.index or 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory was short, on whatever device."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(word in str(error).lower() for word in _MEMORY_WORDS)


def release_memory() -> None:
    """Give back what torch holds but doesn't use on a GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: for many small operations, where waiting for each other costs more than it gains."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Put a module in evaluation mode without gradients; afterwards every part is in the mode it was in."""
    import torch

    before = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
    try:
        module.eval()
    except NotImplementedError:  # a module from torch.export has one mode only
        before = []
    try:
        with torch.inference_mode():
            yield
    finally:
        if before and before[0][1]:
            module.train()
        for part, mode in before:
            part.training = mode


def in_precision(precision: str, device: str) -> AbstractContextManager[Any]:
    """Compute what torch's autocast thinks fit for it in a precision, such as "bfloat16"."""
    import torch

    if precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, getattr(torch, precision))


def moved(batch: npt.NDArray[Any], device: str) -> Tensor:
    """Return an array as a tensor on a device; to a GPU by way of pinned memory, which it copies without waiting."""
    import torch

    here = torch.from_numpy(np.ascontiguousarray(batch))
    if torch.device(device).type == "cuda":
        return here.pin_memory().to(device, non_blocking=True)
    return here.to(device)


def first_tensor(output: Any) -> Tensor:
    """Take the tensor that describes the picture out of a module's output.

    A tensor is itself. Of a mapping it is `image_embeds`, `pooler_output` or `last_hidden_state`, else the first
    tensor in it; of a sequence the first tensor in it.
    """
    import torch

    if isinstance(output, torch.Tensor):
        return output
    values: list[Any] = []
    if isinstance(output, Mapping):
        values = [output[k] for k in _FIRST_CHOICE if output.get(k) is not None] + list(output.values())
    elif isinstance(output, Sequence) and not isinstance(output, str):
        values = list(output)
    for value in values:
        if isinstance(value, torch.Tensor):
            return value
    raise InvalidInputError(
        f"The module's output holds no tensor; got {type(output).__name__}. "
        "Name a layer=, or wrap the module in one that returns a tensor."
    )


def pooled(output: Tensor, rows: int) -> Tensor:
    """Make float32 (rows, d) of a layer's output: the mean over positions, whatever they are.

    (b, c, h, w) is averaged over h and w, (b, tokens, d) over all tokens, (b,) becomes one column; what has more axes
    is flattened.
    """
    if output.ndim == 0 or output.shape[0] != rows:
        raise InvalidInputError(
            f"The layer's output must have one row per picture; got shape {tuple(output.shape)} for {rows} pictures. "
            "Name another layer=."
        )
    if output.ndim == 1:
        output = output[:, None]
    elif output.ndim == 3:
        output = output.float().mean(dim=1)
    elif output.ndim == 4:
        output = output.float().mean(dim=(2, 3))
    return output.float().flatten(1)


def fingerprint(module: Module) -> str:
    """SHA-256 (hex) of a module: parts, plain attributes, the byte code of `forward`, parameters and buffers.

    Functions that `forward` calls from outside the module are not seen.
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        kind = type(part)
        digest.update(f"\n{name}:{kind.__module__}.{kind.__qualname__}".encode())
        forward = getattr(getattr(kind, "forward", None), "__code__", None)
        if forward is not None and not kind.__module__.startswith("torch."):
            _update_with_code(digest, forward)
        for attribute, value in sorted(vars(part).items()):
            if attribute != "training" and not attribute.startswith("_"):
                _update_with_value(digest, attribute, value)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        _update_with_value(digest, name, tensor)
    return digest.hexdigest()


def _update_with_code(digest: hashlib._Hash, code: types.CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _update_with_code(digest, constant)
        else:
            digest.update(repr(constant).encode())


def _update_with_value(digest: hashlib._Hash, name: str, value: Any) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"\n{name}={plain.dtype}{tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, str | int | float | bool | tuple | list | None):
        digest.update(f"\n{name}={value!r}".encode())
