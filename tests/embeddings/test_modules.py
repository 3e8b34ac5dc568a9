"""Torch modules as embedders: layers, state, identity, and files on disk."""

from __future__ import annotations

import json
import operator
import os

import numpy as np
import pytest
import torch
from torch import nn

from slicelab.core import InvalidInputError, MissingExtraError, SourceError
from slicelab.embeddings import ModuleEmbedder, VectorCache, embed_images, load_embedder

SIZE = (16, 20)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


class Net(nn.Module):
    """Two convolutions, a norm, dropout and a head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.drop(self.body(x).mean((2, 3))))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net()
    net.body[1].running_mean += 0.3
    return net.eval()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, *SIZE, 3), dtype=np.uint8)


def by_hand(images):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def output(net, images):
    with torch.no_grad():
        return net(by_hand(images)).numpy()


def embedder(net, **options):
    return ModuleEmbedder(net, **({"size": SIZE, "mean": MEAN, "std": STD} | options))


def test_the_output_is_the_modules(net, images):
    """Without a layer, the vector is what the module gives by hand."""
    np.testing.assert_allclose(embedder(net).embed(images), output(net, images), atol=1e-5)


def test_a_layer_is_averaged_over_its_positions(net, images):
    """A convolution inside gives its own output, averaged over height and width."""
    with torch.no_grad():
        manual = net.body(by_hand(images)).mean((2, 3)).numpy()
    result = embedder(net, layer="body.3")
    np.testing.assert_allclose(result.embed(images), manual, atol=1e-5)
    assert result.dim == 8
    assert not net.body[3]._forward_hooks


def test_tokens_are_averaged(images):
    """(b, tokens, d) becomes (b, d)."""

    class Tokens(nn.Module):
        def forward(self, x):
            return x.flatten(2).transpose(1, 2), "and more"

    np.testing.assert_allclose(embedder(Tokens()).embed(images), by_hand(images).mean((2, 3)).numpy(), atol=1e-5)


def test_a_mapping_gives_its_picture_vector(images):
    """Of a mapping, the pooled output goes before the rest."""

    class Mapping(nn.Module):
        def forward(self, x):
            return {"logits": x.sum((1, 2, 3)), "pooler_output": x.mean((2, 3))}

    assert embedder(Mapping()).embed(images).shape == (7, 3)


def test_an_unknown_layer_names_the_closest(net):
    """A slip of the pen is told at once."""
    with pytest.raises(InvalidInputError, match=r"Did you mean 'body\.3'"):
        embedder(net, layer="body3")


def test_a_layer_that_never_runs_is_told(net, images):
    """A part that forward doesn't call has no output."""
    net.spare = nn.Linear(2, 2)
    with pytest.raises(InvalidInputError, match="not called"):
        embedder(net, layer="spare").embed(images)


def test_the_module_is_left_as_it_was(net, images):
    """Training modes, part by part, gradients and statistics are untouched, and dropout was off."""
    net.train()
    net.body[1].eval()
    before = {name: part.training for name, part in net.named_modules()}
    mean = net.body[1].running_mean.clone()
    first, second = embedder(net).embed(images), embedder(net).embed(images)
    np.testing.assert_array_equal(first, second)
    assert {name: part.training for name, part in net.named_modules()} == before
    torch.testing.assert_close(net.body[1].running_mean, mean)
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_a_module_that_fails_is_left_as_it_was(net):
    """Also when forward raises."""
    net.train()
    with pytest.raises(RuntimeError):
        embedder(net).embed(np.zeros((1, 1, 1, 3), np.uint8))
    assert net.training


def test_the_identity_changes_with_whatever_changes_the_vector(net):
    """Weights, buffers, plain attributes, code, layer, size and colours each make another identity."""

    class Other(Net):
        def forward(self, x):
            return super().forward(x) * 2

    torch.manual_seed(0)
    other = Other().eval()
    other.load_state_dict(net.state_dict())
    identities = [
        embedder(net).identity,
        embedder(other, name="Net").identity,
        embedder(net, layer="body.3").identity,
        embedder(net, size=17).identity,
        embedder(net, mean=(0, 0, 0)).identity,
        embedder(net, std=(1, 1, 1)).identity,
    ]
    assert embedder(net).identity == identities[0]
    net.body[0].padding = (0, 0)
    identities.append(embedder(net).identity)
    net.body[1].running_var += 1
    identities.append(embedder(net).identity)
    with torch.no_grad():
        net.head.bias[0] += 1e-6
    identities.append(embedder(net).identity)
    assert len(set(identities)) == len(identities)


def test_mode_and_place_do_not_change_the_identity(net):
    """Training mode and a copy are the same function."""
    import copy

    before = embedder(net).identity
    assert embedder(copy.deepcopy(net).train()).identity == before


def test_moving_makes_a_copy(net):
    """Yours stays where it is; the copy is elsewhere and means the same layer."""
    here = embedder(net, layer="body.3")
    there = here.to("meta")
    assert there.device == "meta"
    assert there.layer == "body.3"
    assert here.device == "cpu"
    assert next(net.parameters()).device.type == "cpu"
    assert here.to("cpu") is here


def test_pictures_of_any_size_are_stretched(net, pictures, tmp_path):
    """From file to vector: the same as Pillow's resize and the module by hand."""
    from PIL import Image

    result = embed_images(
        pictures, embedder=embedder(net), cache=VectorCache(tmp_path / "c"), batch_size=6, device="cpu", progress=False
    )
    resized = [Image.open(i.filepath).resize((20, 16), Image.Resampling.BILINEAR) for i in pictures]
    np.testing.assert_allclose(result.vectors, output(net, np.stack([np.asarray(r) for r in resized])), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": (16,)},
        {"size": "large"},
        {"size": (16, 2.5)},
        {"mean": (1, 2)},
        {"std": (0, 1, 1)},
        {"mean": 0.5},
        {"std": (1, 1, float("nan"))},
    ],
)
def test_wrong_preparation_is_refused(net, options):
    """The message names what is wrong."""
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        embedder(net, **options)


# Files


def write_sidecar(path, **content):
    content = {"size": SIZE, "mean": MEAN, "std": STD} | content
    path.with_name(path.name + ".json").write_text(json.dumps(content))


def write_torchscript(net, path):
    torch.jit.trace(net, torch.zeros(2, 3, *SIZE)).save(str(path))


def write_export(net, path, *, static=False):
    shapes = None if static else ({0: torch.export.Dim("b")},)
    torch.export.save(torch.export.export(net, (torch.zeros(4, 3, *SIZE),), dynamic_shapes=shapes), path)


def write_onnx(net, path, *, axes=None):
    torch.onnx.export(
        net, (torch.zeros(2, 3, *SIZE),), str(path), dynamo=False, input_names=["x"], output_names=["y"],
        dynamic_axes=axes,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("net.pt", write_torchscript),
        ("net.pt2", write_export),
        ("static.pt2", lambda net, path: write_export(net, path, static=True)),
        ("net.onnx", lambda net, path: write_onnx(net, path, axes={"x": {0: "b"}})),
        ("fixed.onnx", write_onnx),
        ("no_suffix", write_torchscript),
    ],
)
def test_a_file_gives_what_the_module_gives(net, images, tmp_path, name, write):
    """TorchScript, torch.export and ONNX, also with a fixed batch, equal the eager module at every batch size."""
    write(net, tmp_path / name)
    write_sidecar(tmp_path / name)
    loaded = load_embedder(tmp_path / name)
    for count in (1, 4, 7):
        np.testing.assert_allclose(loaded.embed(images[:count]), output(net, images[:count]), atol=1e-5)
    assert loaded.dim == 5
    assert loaded.prepare(np.zeros((50, 40, 3), np.uint8)).shape == (*SIZE, 3)
    assert load_embedder(tmp_path / name).identity == loaded.identity
    assert load_embedder(tmp_path / name, mean=(0, 0, 0)).identity != loaded.identity
    assert loaded.to("cpu") is loaded


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_and_export_bring_their_size(net, tmp_path):
    """Where the file declares height and width, nobody needs to say them, and ONNX refuses others."""
    write_onnx(net, tmp_path / "net.onnx")
    write_export(net, tmp_path / "net.pt2")
    for name in ("net.onnx", "net.pt2"):
        loaded = load_embedder(tmp_path / name)
        assert (loaded.height, loaded.width) == SIZE
    with pytest.raises(InvalidInputError, match="size=32"):
        load_embedder(tmp_path / "net.onnx", size=32)
    with pytest.raises(InvalidInputError, match="no output 'yy'"):
        load_embedder(tmp_path / "net.onnx", layer="yy")


def test_onnx_with_channels_last_and_bytes(images, tmp_path):
    """A graph that takes uint8 (b, h, w, 3) gets the pixels as they are."""
    import onnx
    from onnx import TensorProto, helper

    taken = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["b", 16, 20, 3])
    given = helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["b", 3])
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["mean"], keepdims=0),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph(nodes, "g", [taken], [given], [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    vectors = load_embedder(tmp_path / "m.onnx").embed(images)
    np.testing.assert_allclose(vectors, images.mean((1, 2)), rtol=1e-5)


class Trap:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.pt2", "model"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_is_refused_and_not_run(net, tmp_path, monkeypatch, name, legacy):
    """Whatever it is called, the code in it stays asleep, and the message says what to do instead."""
    monkeypatch.chdir(tmp_path)
    torch.save({"net": net, "trap": Trap()}, name, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(SourceError, match=r"pickle.*(?s:.)*ModuleEmbedder"):
        load_embedder(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_pickles_inside_an_exported_program_are_not_run(net, tmp_path, monkeypatch):
    """An archive whose sample inputs were swapped for a pickle is refused."""
    import io
    import zipfile

    monkeypatch.chdir(tmp_path)
    write_export(net, tmp_path / "good.pt2")
    trap = io.BytesIO()
    torch.save(Trap(), trap)
    with zipfile.ZipFile("good.pt2") as source, zipfile.ZipFile("bad.pt2", "w") as target:
        for entry in source.infolist():
            poisoned = "sample_inputs" in entry.filename or entry.filename.endswith(("weight_0", ".pt"))
            target.writestr(entry, trap.getvalue() if poisoned else source.read(entry))
    with pytest.raises(SourceError):
        load_embedder(tmp_path / "bad.pt2")
    assert not (tmp_path / "sprung").exists()


def test_weights_without_a_model_are_refused(net, tmp_path):
    """A state_dict is told apart from a pickled module."""
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    (tmp_path / "w.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    for name in ("weights.pt", "w.safetensors"):
        with pytest.raises(SourceError, match="weights only"):
            load_embedder(tmp_path / name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["net.pt", "net.pt2", "net.onnx"])
def test_damaged_files_are_source_errors(net, tmp_path, name):
    """Half a file is refused by its name."""
    path = tmp_path / name
    {"net.pt": write_torchscript, "net.pt2": write_export, "net.onnx": write_onnx}[name](net, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=name):
        load_embedder(path)


def test_paths_without_a_model_are_told(tmp_path):
    """Missing, empty, and folders that aren't models."""
    (tmp_path / "empty.pt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text('{"a": 1}')
    for name in ("missing.pt", "empty.pt", "folder", "strange"):
        with pytest.raises(SourceError, match=name):
            load_embedder(tmp_path / name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_wrong_sidecar_is_told(net, tmp_path):
    """A word that means nothing, and a file that isn't JSON."""
    write_torchscript(net, tmp_path / "net.pt")
    write_sidecar(tmp_path / "net.pt", means=[0, 0, 0])
    with pytest.raises(InvalidInputError, match="Did you mean 'mean'"):
        load_embedder(tmp_path / "net.pt")
    (tmp_path / "net.pt.json").write_text("{")
    with pytest.raises(SourceError, match=r"net\.pt\.json"):
        load_embedder(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("config", "package"), [({"model_type": "clip"}, "transformers"), ({"architecture": "resnet18"}, "timm")]
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, config, package):
    """Without the package, the message holds the install line."""
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(MissingExtraError, match=f"pip install .*{package}"):
        load_embedder(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_without_onnxruntime_is_told(net, tmp_path, monkeypatch):
    """Without onnxruntime, the message holds the install line."""
    import sys

    write_onnx(net, tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"slicelab\[onnx\]"):
        load_embedder(tmp_path / "net.onnx")


def test_a_folder_takes_no_preparation(tmp_path):
    """A transformers folder brings its own."""
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(InvalidInputError, match="size"):
        load_embedder(tmp_path, size=64)


def residual(*, data_dependent=False):
    """A small net with batch norms that have seen data, one of them behind a shortcut."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
            self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)

        def forward(self, x):
            if data_dependent and x.mean() > 1e9:
                return x
            x = self.stem(x)
            return torch.relu(self.norm(self.conv(x)) + x)

    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(8, 3, 32, 32) * 3 + 1)
    return net


def test_batch_norms_are_folded_for_a_run(pictures, tmp_path):
    """No batch norm is left to run, vectors and identity stay, and the user's module is untouched."""
    import torch

    net = residual()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    embedder = ModuleEmbedder(net, size=32)
    quick = embedder.quickened()
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in quick.module.modules())
    assert quick.identity == embedder.identity
    batch = np.random.default_rng(1).integers(0, 256, (9, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(quick.embed(batch), embedder.embed(batch), rtol=0, atol=1e-5)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("layer", ["conv", "stem.0"])
def test_folding_never_changes_what_a_layer_gives(layer):
    """A convolution whose own output is asked for stays as it is: with its norm in it, it would give another."""
    embedder = ModuleEmbedder(residual(), layer=layer, size=32)
    batch = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(embedder.quickened().embed(batch), embedder.embed(batch), rtol=0, atol=1e-5)


def test_what_can_not_be_followed_is_left_alone():
    """Control flow by data, hooks, half precision, TorchScript, and nets without convolutions."""
    import torch

    hooked = residual()
    hooked.conv.register_forward_hook(lambda *_: None)
    nets = [residual(data_dependent=True), hooked, residual().half(), torch.nn.Flatten()]
    nets.append(torch.jit.trace(residual().eval(), torch.zeros(1, 3, 32, 32)))
    for net in nets:
        embedder = ModuleEmbedder(net, size=32)
        assert embedder.quickened() is embedder


def _nets():
    """Ways to write convolutions, sums and ReLUs; with each, how many convolutions can take something up."""
    from torch.nn import functional

    def conv(before=8, after=8, **options):
        return nn.Conv2d(before, after, 3, **({"padding": 1} | options))

    class Net(nn.Module):
        def __init__(self, path, *parts):
            super().__init__()
            self.stem, self.parts, self.path = conv(3, 8), nn.ModuleList(parts), path

        def forward(self, x):
            return self.path(self.stem(x), *self.parts)

    relu = functional.relu
    return {
        "a ReLU in place": Net(lambda x, c, r: c(r(x)), conv(), nn.ReLU(inplace=True)),
        "a method": Net(lambda x, c: c(x.relu()).relu_(), conv()),
        "a sum in place": Net(lambda x, c: operator.iadd(c(x), x).relu(), conv()),
        "a shortcut that does nothing": Net(lambda x, i, c: relu(c(x) + i(x)), nn.Identity(), conv()),
        "the summand is needed later": Net(lambda x, c: torch.cat([relu(c(x) + x), x], 1), conv()),
        "the summand is seen otherwise": Net(lambda x, c: relu(c(x) + x).amax((1, 2, 3), True) + x, conv()),
        "a view of the summand": Net(lambda x, c: [v := x.flatten(1), relu(c(x) + x).flatten(1) + v][1], conv()),
        "the output is used twice": Net(lambda x, c: torch.cat([y := c(x), relu(y)], 1), conv()),
        "twice the same": Net(lambda x, c: [y := c(x), relu(y + y)][1], conv()),
        "two convolutions": Net(lambda x, c, d: relu(c(x) + d(x)), conv(), conv()),
        "a chain of blocks": Net(lambda x, c, d: [y := relu(c(x) + x), relu(d(y) + y)][1], conv(), conv()),
        "one number": Net(lambda x, c: relu(c(x) + 1), conv()),
        "a broadcast summand": Net(lambda x, c: relu(c(x) + x.mean((2, 3), keepdim=True)), conv()),
        "a weighted sum": Net(lambda x, c: relu(torch.add(c(x), x, alpha=2)), conv()),
        "the mean comes first": Net(lambda x, c: c(relu(x.mean((2, 3), keepdim=True) + x)), conv()),
        "changed in between": Net(lambda x, c: [y := c(x), x.mul_(2), relu(y + x)][2], conv()),
        "groups, stride, dilation": Net(lambda x, c: relu(c(x)), conv(groups=8, stride=2, dilation=2, padding=2)),
        "padding in words": Net(lambda x, c: relu(c(x)), conv(padding="same")),
        "reflected": Net(lambda x, c: relu(c(x)), conv(padding_mode="reflect")),
        "no ReLU": Net(lambda x, c: c(x) + x, conv()),
    }


@pytest.mark.parametrize("name", _nets())
def test_convolutions_take_up_only_what_they_may(name):
    """However sums and ReLUs are written, whole batches and single pictures come out the same."""
    torch.manual_seed(0)
    embedder = ModuleEmbedder(_nets()[name], size=24)
    quick = embedder.quickened()
    batch = np.random.default_rng(1).integers(0, 256, (19, 24, 24, 3), np.uint8)
    expected = embedder.embed(batch)
    np.testing.assert_allclose(quick.embed(batch), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(quick.embed(batch[:1]), expected[:1], rtol=0, atol=1e-5 * np.abs(expected).max())
    assert quick is not embedder


def test_sums_and_rectifiers_are_taken_up():
    """Of a residual net nothing but convolutions and the mean is left to run, and no output is written twice."""
    quick = ModuleEmbedder(nn.Sequential(residual(), nn.AdaptiveAvgPool2d(1)), size=32).quickened()
    left = [node.op for node in quick.module.graph.nodes]
    assert left == ["placeholder", *["call_module"] * 3, "output"]
    assert not any(isinstance(part, nn.Conv2d | nn.ReLU) for part in quick.module.modules())


def test_half_precision_is_nearly_the_same_under_a_name_of_its_own():
    """Autocast's vectors point the same way, in float32; the identity keeps them apart in the cache."""
    plain, half = (ModuleEmbedder(residual(), size=32, precision=name) for name in ("float32", "bfloat16"))
    batch = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)
    one, other = plain.embed(batch), half.embed(batch)
    assert other.dtype == np.float32
    assert not np.array_equal(one, other)
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.999
    assert plain.identity != half.identity
    assert half.quickened() is half
    with pytest.raises(InvalidInputError, match=r"precision must be one of .*got 'int8'"):
        ModuleEmbedder(residual(), precision="int8")


@pytest.mark.slow
@pytest.mark.parametrize("layer", [None, "body.3"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_compiled_module_gives_the_same(net, images, layer, precision):
    """Whatever the batch, beyond rounding, under the same identity."""
    plain = embedder(net, layer=layer, precision=precision, compiled=True)
    quick = plain.quickened()
    assert quick is not plain
    assert quick.identity == plain.identity
    for batch in (images, images[:1], images[:4]):
        expected = plain.embed(batch)
        scale = np.linalg.norm(expected, axis=1).min()
        np.testing.assert_allclose(
            quick.embed(batch), expected, atol=(1e-5 if precision == "float32" else 0.02) * scale
        )


def test_what_can_not_be_compiled_says_why(net, monkeypatch):
    """Here because there is no compiler beside torch."""
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(
        InvalidInputError, match=r"torch\.compile can't be used .*no-such-compiler.* Leave out compiled=True"
    ):
        embedder(net, compiled=True).quickened()
