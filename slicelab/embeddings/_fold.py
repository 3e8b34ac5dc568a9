"""Convolutions that take up what stands around them: the same function in fewer passes over memory, for a CPU.

Imports torch, so it is itself imported where a run starts.
"""

from __future__ import annotations

import copy
import operator
from itertools import takewhile
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.passes.shape_prop import ShapeProp

AT_ONCE = 8
"""Pictures at once that weights are laid out for, few enough to stay in a processor's cache; others work too."""


def folded(module: nn.Module) -> fx.GraphModule | None:
    """Return a copy in evaluation mode in which every Conv2d has taken up its BatchNorm2d, weights channels-last.

    Returns
    -------
    None where the module's path can't be followed (torch.fx): control flow that depends on the data, hooks, or a
    module that is compiled; or where it has no Conv2d. Whether the copy computes the same is for the caller to check.
    """
    parts = list(module.modules())
    if isinstance(module, torch.jit.ScriptModule | fx.GraphModule) or any(
        p.dtype != torch.float32 for p in module.parameters()
    ):
        return None
    if any(part._forward_hooks or part._forward_pre_hooks for part in parts):
        return None
    if not any(isinstance(part, nn.Conv2d) for part in parts):
        return None
    try:
        result = cast("fx.GraphModule", fuse(copy.deepcopy(module).eval(), inplace=True))
    except Exception:  # noqa: BLE001 - whatever stands in the way of tracing
        return None
    for part in result.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)
    return result


def fused(module: fx.GraphModule, sample: Tensor) -> fx.GraphModule | None:
    """Return a copy in which oneDNN computes convolutions together with the sum and the ReLU behind them.

    These are the operators that torch.compile uses on a CPU, without its compiler. They are torch's own but not
    public, so the caller checks what comes out. Weights are laid out once, as the convolutions want them.

    Parameters
    ----------
    module
        What `folded` returned.
    sample
        float32 (b, 3, h, w): an input, from which the shapes inside are learned.

    Returns
    -------
    None where this torch has no such operators, or the module can't run on the sample.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    result = copy.deepcopy(module)
    try:
        with torch.inference_mode():
            _drop_identities(result)
            ShapeProp(result).propagate(sample)
            for node in list(result.graph.nodes):
                conv = _part(node)
                if type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str):
                    _fuse(node, conv)
    except Exception:  # noqa: BLE001 - not public: whatever a version of torch has against it
        return None
    result.delete_all_unused_submodules()
    result.recompile()
    return result


class _Convolution(nn.Module):
    """relu(conv(x) + other), with or without either, as one operator; it may write its result over `other`."""

    def __init__(self, conv: nn.Conv2d, shape: tuple[int, ...], *, rectified: bool, overwrites: bool) -> None:
        super().__init__()
        self.bias, self.relu, self.overwrites = conv.bias, "relu" if rectified else None, overwrites
        self.where = (conv.padding, conv.stride, conv.dilation, conv.groups)
        reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # its declared types are too narrow
        self.weight = reorder(conv.weight.to_mkldnn(), *self.where, [AT_ONCE, *shape[1:]])

    def forward(self, x: Tensor, other: Tensor | None = None) -> Any:
        """Compute it."""
        operators = torch.ops.mkldnn
        what = (self.weight, self.bias, *self.where)
        if other is None:
            return operators._convolution_pointwise(x, *what, self.relu or "none", [], "")
        then: tuple[Any, ...] = ("add", 1.0, self.relu, [], "")
        if self.overwrites:
            return operators._convolution_pointwise_(other, x, *what, *then)
        return operators._convolution_pointwise(x, other, *what, *then)


def _fuse(node: fx.Node, conv: nn.Conv2d) -> None:
    """Put one operator in the place of a convolution and of what follows it alone: a sum, a ReLU, or both."""
    graph, module = node.graph, cast("fx.GraphModule", node.graph.owning_module)
    picture = cast("fx.Node", node.args[0])
    last, inputs, overwrites = node, [picture], False
    if (total := _next(last)) is not None and (other := _summand(total, node)) is not None:
        last, inputs, overwrites = total, [picture, other], other is not picture and _is_spare(other, total)
    rectified = (relu := _next(last)) is not None and _is_relu(relu)
    last = cast("fx.Node", relu) if rectified else last
    name = f"fused_{node.name}"
    module.add_submodule(name, _Convolution(conv, _shape(picture), rectified=rectified, overwrites=overwrites))
    with graph.inserting_before(last):
        new = graph.call_module(name, tuple(inputs))
    new.meta = dict(last.meta)
    last.replace_all_uses_with(new)
    graph.eliminate_dead_code()


def _drop_identities(module: fx.GraphModule) -> None:
    """Take out the parts that return their input itself."""
    for node in list(module.graph.nodes):
        if type(_part(node)) is nn.Identity:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)


def _summand(node: fx.Node, conv: fx.Node) -> fx.Node | None:
    """Return what a node adds to a convolution's output, of the same shape; else None."""
    if node.op != "call_function" or node.target not in (operator.add, operator.iadd, torch.add) or node.kwargs:
        return None
    one, other = node.args
    if other is conv and node.target is not operator.iadd:
        one, other = other, one
    if one is not conv or other is conv or not isinstance(other, fx.Node):
        return None
    return other if _shape(other) == _shape(conv) else None


def _is_spare(node: fx.Node, last: fx.Node) -> bool:
    """Tell whether nobody needs a node's output after `last`: made anew, and read before by convolutions only."""
    before = set(takewhile(lambda other: other is not last, node.graph.nodes))
    readers = [user for user in node.users if user is not last]
    return isinstance(_part(node), nn.Conv2d | nn.MaxPool2d | _Convolution) and all(
        user in before and isinstance(_part(user), nn.Conv2d | _Convolution) for user in readers
    )


def _is_relu(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    if node.op == "call_function":
        return node.target in (torch.relu, torch.relu_, nn.functional.relu)
    return type(_part(node)) is nn.ReLU


def _part(node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls."""
    module = cast("fx.GraphModule", node.graph.owning_module)
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def _next(node: fx.Node) -> fx.Node | None:
    """Return the only node that uses another."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    """Return a node's shape as `ShapeProp` saw it; () where it was no tensor."""
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))
