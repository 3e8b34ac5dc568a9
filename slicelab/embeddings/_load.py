"""A file or folder on disk as an embedder. The content decides what it is, not the name; nothing is fetched.

Pickles are refused: unpickling runs whatever code the file holds. TorchScript, torch.export and ONNX files are
programs too, in a small language, so take them from people you trust.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicelab.core import InvalidInputError, SourceError, did_you_mean, hash_file
from slicelab.embeddings._embedder import Embedder
from slicelab.embeddings._hub import TransformersEmbedder, load_timm
from slicelab.embeddings._module import ModuleEmbedder
from slicelab.embeddings._onnx import OnnxEmbedder

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_OBJECTS = ("custom_obj_", "opaque_obj_")
_INSTEAD = (
    "Export the model (torch.export.save, torch.jit.script(model).save or torch.onnx.export) and give that file, "
    "or build it in Python and pass ModuleEmbedder(model)."
)


@dataclass(frozen=True)
class Preparation:
    """How pictures are prepared for a model file; None: as the file says, else ImageNet's."""

    size: int | tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layer: str | None = None


def load_embedder(
    path: str | Path,
    *,
    layer: str | None = None,
    size: int | tuple[int, int] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Embedder:
    """Make an embedder of a model on disk.

    Parameters
    ----------
    path
        A TorchScript file, a torch.export file (.pt2), an ONNX file, or the folder of a transformers or timm model.
    layer, size, mean, std
        As in `ModuleEmbedder`. What isn't given comes from `<file>.json` beside the file (the same four names), then
        from the file, then ImageNet's with 224 pixels. For ONNX, `layer` is the name of an output; TorchScript and
        torch.export run only as a whole. A folder brings its own preparation and takes none of them.

    Raises
    ------
    SourceError
        There is no such file, or it is none of these; the message says what it is.
    MissingExtraError
        The package that reads it isn't installed.
    InvalidInputError
        The preparation can't be right.
    """
    path = Path(path)
    given = Preparation(size=size, mean=mean, std=std, layer=layer)
    if path.is_dir():
        return _load_folder(path, given)
    if not path.is_file():
        raise SourceError(f"There is no model at {str(path)!r}. Give a file or folder that exists.")
    preparation = _with_sidecar(path, given)
    kind = _kind_of(path)
    if kind == "torchscript":
        return _load_torchscript(path, preparation)
    if kind == "export":
        return _load_export(path, preparation)
    if kind == "onnx":
        return OnnxEmbedder(path, **_chosen(preparation))
    raise SourceError(f"{path.name} can't be used as an embedder: {kind} {_INSTEAD}")


def _kind_of(path: Path) -> str:
    """Return "torchscript", "export" or "onnx", else a sentence that says what the file is."""
    with path.open("rb") as stream:
        start = stream.read(16)
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile as error:
            raise SourceError(f"{path.name} is a damaged archive: {error}. Copy or export it again.") from error
        return _kind_of_archive(path, names)
    if path.suffix.lower() == ".onnx":
        return "onnx"
    if path.suffix.lower() == ".safetensors":
        return "it holds weights only, without the model that they belong to."
    if start[:1] == b"\x80":
        return "it is a pickle, and reading one would run any code in it."
    return "it is no TorchScript, torch.export or ONNX file."


def _kind_of_archive(path: Path, names: list[str]) -> str:
    inside = [name.partition("/")[2] for name in names]
    if "archive_format" in inside or "models/model.json" in inside or "serialized_exported_program.json" in names:
        return "export"
    if any(name.startswith("code/") for name in inside):
        return "torchscript"
    if "data.pkl" in inside:
        if _holds_only_weights(path):
            return "it holds weights only (a state_dict), without the model that they belong to."
        return "it is a pickled module or other Python objects, and reading them would run any code in the file."
    return "it is no TorchScript, torch.export or ONNX file."


def _holds_only_weights(path: Path) -> bool:
    import pickle

    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, OSError):
        return False
    return True


def _with_sidecar(path: Path, given: Preparation) -> Preparation:
    """Fill what isn't given from `<file>.json`, where there is one."""
    sidecar = path.with_name(path.name + ".json")
    if not sidecar.is_file():
        return given
    names = [field.name for field in fields(Preparation)]
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{sidecar.name} can't be read as JSON: {error}. Correct or remove it.") from error
    if not isinstance(content, dict):
        raise SourceError(f"{sidecar.name} must hold an object with any of {names}; got {type(content).__name__}.")
    for name in content:
        if name not in names:
            raise InvalidInputError(f"{sidecar.name} holds {name!r}, which means nothing.{did_you_mean(name, names)}")
    return replace(given, **{n: content[n] for n in names if getattr(given, n) is None and n in content})


def _chosen(preparation: Preparation) -> dict[str, Any]:
    return {f.name: v for f in fields(Preparation) if (v := getattr(preparation, f.name)) is not None}


def _load_torchscript(path: Path, preparation: Preparation) -> ModuleEmbedder:
    import torch

    try:
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise SourceError(_unread(path, "TorchScript", error)) from error
    return ModuleEmbedder(module, name=path.stem, content=hash_file(path), **_chosen(preparation))


def _load_export(path: Path, preparation: Preparation) -> ModuleEmbedder:
    import pickle

    import torch

    with zipfile.ZipFile(path) as archive:
        objects = [n for n in archive.namelist() if n.rpartition("/")[2].startswith(_OBJECTS)]
    if objects:
        raise SourceError(
            f"{path.name} can't be used as an embedder: it holds pickled objects ({objects[0]}), and reading them "
            "would run any code in the file. Export a model without custom objects."
        )
    try:
        with _weights_only():
            program = torch.export.load(path)
        module = program.module()
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise SourceError(_unread(path, "torch.export", error)) from error
    batch, size = _declared(program)
    chosen = _chosen(preparation)
    if size is not None:
        chosen.setdefault("size", size)
    return ModuleEmbedder(module, name=path.stem, content=hash_file(path), batch=batch, **chosen)


def _declared(program: ExportedProgram) -> tuple[int | None, tuple[int, int] | None]:
    """Return the batch size and the picture's size that an exported program insists on."""
    names = program.graph_signature.user_inputs
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    shape = tuple(inputs[0].meta["val"].shape) if len(inputs) == 1 else ()
    if len(shape) != 4:
        raise SourceError(
            f"The exported program must take one picture tensor (b, 3, h, w); it takes {len(inputs)} inputs, "
            f"the first of shape {shape}. Export a model that takes pictures only."
        )
    batch, _, high, wide = shape
    size = (int(high), int(wide)) if isinstance(high, int) and isinstance(wide, int) else None
    return (batch if isinstance(batch, int) else None), size


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Keep torch.load inside torch from unpickling anything but tensors."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _unread(path: Path, kind: str, error: BaseException) -> str:
    reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return f"{path.name} can't be read as a {kind} file: {reason[0][:300]} It may be damaged or of another version."


def _load_folder(path: Path, given: Preparation) -> Embedder:
    if _chosen(given):
        raise InvalidInputError(
            f"The folder {path.name} says itself how pictures are prepared; got {', '.join(_chosen(given))} too. "
            "Leave these out, or build the model in Python and pass ModuleEmbedder(model, ...)."
        )
    config = path / "config.json"
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"The folder {str(path)!r} is no model: its config.json can't be read ({error}). "
            "Give the folder of a transformers or timm model, as save_pretrained writes it."
        ) from error
    if "model_type" in content:
        return TransformersEmbedder(path)
    if "architecture" in content:
        return load_timm(path)
    raise SourceError(
        f"{config} names neither a transformers model ('model_type') nor a timm one ('architecture'). "
        "Give a folder as save_pretrained writes it."
    )
