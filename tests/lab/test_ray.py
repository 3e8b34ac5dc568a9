"""`lab.embed` and `slicelab embed` on a Ray cluster: vectors are stored on the dataset as after a local run."""

import numpy as np
import pytest
from typer.testing import CliRunner

from slicelab.cli import app
from slicelab.core import InvalidInputError
from slicelab.embeddings import ModuleEmbedder, VectorCache, embed_images

pytestmark = pytest.mark.mongo


@pytest.fixture(scope="module")
def net():
    """A module whose vectors nothing else has cached."""
    import torch

    torch.manual_seed(51)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)).eval()


@pytest.mark.slow
def test_vectors_of_a_cluster_are_stored(parts, net, tmp_path, connected):
    """Units, vectors and identity are those of the local engine; the next call, here, computes nothing."""
    parts.embed(
        model=net,
        size=32,
        name="ray",
        engine="ray",
        address=connected,
        output=tmp_path,
        partition_size=64,
        progress=False,
    )
    units, vectors = parts.embeddings("ray")
    items = parts._units.items(parts._units.known(parts.models))
    embedder = ModuleEmbedder(net, size=32)
    here = embed_images(items, embedder=embedder, cache=VectorCache(tmp_path / "cache"), progress=False)
    assert units == here.units
    assert parts._vectors.identity("ray") == here.identity
    bound = 1e-5 * np.linalg.norm(here.vectors, axis=1, keepdims=True)
    assert (np.abs(vectors - here.vectors) <= bound).all()
    for item in items[:3]:
        assert item.key in VectorCache(parts._connection.home / "cache" / "vectors").find(here.identity, [item.key])


@pytest.mark.slow
def test_the_command_line_reaches_the_cluster(parts, net, tmp_path, connected):
    """`slicelab embed --ray` with weights from a file."""
    import torch

    path = tmp_path / "net.pt"
    torch.jit.script(net).save(str(path))
    command = ["embed", parts.name, "--weights", str(path), "--name", "script"]
    done = CliRunner().invoke(app, [*command, "--ray", connected, "--output", str(tmp_path), "--partition-size", "64"])
    assert done.exit_code == 0, done.exception or done.output
    assert "160 units, 8 dimensions" in done.output
    assert parts.embeddings("script")[1].shape == (160, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark"}, "engine must be one of"),
        ({"address": "auto"}, 'engine="ray"'),
        ({"engine": "ray", "address": "auto"}, "Pass output="),
    ],
)
def test_options_that_do_not_fit_are_refused(parts, options, message):
    """The message names the option that is wrong or missing."""
    with pytest.raises(InvalidInputError, match=message):
        parts.embed(progress=False, **options)
