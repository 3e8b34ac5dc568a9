"""The map that people look at: the same on every run, as good as umap-learn's, and there for any data."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from slicelab.core import InvalidInputError
from slicelab.discovery import _neighbours, _project, first_map, project
from slicelab.discovery._layout import fuzzy_graph
from slicelab.discovery._neighbours import nearest_all
from slicelab.discovery._project import GRID, embed_features, nearest, reduce_features


def _clusters(n=400, d=12, groups=8, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(groups, d))[np.arange(n) % groups] * 2 + rng.normal(size=(n, d))).astype(np.float32)


@pytest.fixture(scope="module")
def digits():
    """The digits as grey values."""
    from sklearn.datasets import load_digits

    return load_digits().data.astype(np.float32)


@pytest.fixture(scope="module")
def reference(digits):
    """Their map by umap-learn, from the same embeddings."""
    return project(digits, engine="umap-learn")


def _kept(rows, points, k=15):
    near = [NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False) for x in (rows, points)]
    return np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(*near, strict=True)])


@pytest.mark.parametrize("shape", [(500, 40), (9000, 12), (60, 300), (40, 5000)])
def test_features_do_not_depend_on_the_order_of_sums(shape):
    """Rows and columns in another order, which sums otherwise, give the same features to the last bit."""
    n, d = shape
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=shape) * np.geomspace(9, 0.5, d) + rng.normal(size=d)).astype(np.float32)
    features = reduce_features(rows)
    assert features.shape == (n, min(50, n - 1, d))
    np.testing.assert_allclose(features.std(axis=0, ddof=1)[0], 1, atol=1e-4)
    one, two = rng.permutation(n), rng.permutation(d)
    other = reduce_features(rows[np.ix_(one, two)])
    np.testing.assert_array_equal(np.abs(other), np.abs(features[one]))  # a direction and its reverse are one


def test_features_of_very_many_dimensions(monkeypatch):
    """Where the exact components would take too long, an iteration finds them, in whatever order rows come."""
    rng = np.random.default_rng(2)
    rows = (rng.normal(size=(300, 80)) * np.geomspace(9, 0.1, 80)).astype(np.float32)
    exact = reduce_features(rows)
    monkeypatch.setattr(_project, "EXACT_DIMENSIONS", 60)
    features = reduce_features(rows)
    assert features.shape == exact.shape
    np.testing.assert_allclose(np.abs(features[:, :20]), np.abs(exact[:, :20]), atol=1e-3)
    order = rng.permutation(300)
    np.testing.assert_array_equal(reduce_features(rows[order]), features[order])


def test_features_lie_on_a_grid_with_exact_distances(digits):
    """Squared distances, expanded as matrix products do, are those of whole numbers."""
    features = reduce_features(digits)
    whole = np.round(features.astype(np.float64) / GRID).astype(np.int64)
    np.testing.assert_array_equal(whole * GRID, features)
    few, many = features[:20].astype(np.float64), features.astype(np.float64)
    expanded = (few**2).sum(1)[:, None] - 2 * few @ many.T + (many**2).sum(1)
    exact = ((whole[:20, None] - whole) ** 2).sum(2)
    np.testing.assert_array_equal(expanded / GRID**2, exact)


@pytest.mark.filterwarnings("ignore")
def test_it_is_as_good_as_umap_learn(digits, reference):
    """Trustworthiness is within 0.01 of umap-learn's, and at least 97 % as many neighbours stay neighbours."""
    points = project(digits)
    assert points.shape == (len(digits), 2)
    assert points.dtype == np.float32
    ours, theirs = (trustworthiness(digits, p, n_neighbors=15) for p in (points, reference))
    assert ours > theirs - 0.01
    assert _kept(digits, points) > 0.97 * _kept(digits, reference)


def test_the_reference_is_umap_learns_own(digits, reference):
    """To the bit; it can't be watched, and there is no third engine."""
    import umap

    with pytest.warns(UserWarning, match="n_jobs"):
        expected = umap.UMAP(random_state=0).fit_transform(digits)
    np.testing.assert_array_equal(reference, expected)
    with pytest.raises(InvalidInputError, match="on_epoch"):
        project(digits, engine="umap-learn", on_epoch=print)
    with pytest.raises(InvalidInputError, match="engine"):
        project(digits, engine="umap")


@pytest.mark.filterwarnings("ignore")
def test_the_clustered_maps_are_those_of_umap_learn(digits):
    """From the same neighbours as many stay neighbours in five dimensions, within 1 %, and the maps are as wide."""
    import umap

    near = nearest(digits, 16)
    seeds = range(3)
    made = list(embed_features(digits, near, seeds, n_components=5, n_neighbors=14, min_dist=0.0, n_epochs=100))
    given = near[0][:, :14], near[1][:, :14], None
    options = {"n_components": 5, "n_neighbors": 14, "min_dist": 0.0, "n_epochs": 100, "n_jobs": 1}
    theirs = [umap.UMAP(**options, precomputed_knn=given, random_state=seed).fit_transform(digits) for seed in seeds]
    assert {points.shape for points in made} == {(len(digits), 5)}
    ours, reference = (np.mean([_kept(digits, points) for points in maps]) for maps in (made, theirs))
    assert ours == pytest.approx(reference, rel=0.01)
    ours, reference = (np.mean([np.ptp(points, axis=0) for points in maps]) for maps in (made, theirs))
    assert ours == pytest.approx(reference, rel=0.1)


def test_maps_of_several_seeds_are_those_of_each():
    """What maps share does not make one depend on another; rows in two pieces are laid out too, as are equal ones."""
    vectors = _clusters()
    vectors[:200] += 100
    near = nearest(vectors, 16)
    options = {"n_components": 5, "n_neighbors": 8, "min_dist": 0.0, "n_epochs": 30}
    both = list(embed_features(vectors, near, (0, 1), **options))
    np.testing.assert_array_equal(both[1], next(embed_features(vectors, near, (1,), **options)))
    assert np.abs(both[0] - both[1]).max() > 0.1
    same = np.ones((80, 3), np.float32)
    assert not np.any([*embed_features(same, nearest(same, 16), (0,), **options)])


def test_a_seed_makes_the_map():
    """The same seed gives the same points to the last bit, another seed other ones, and no input is changed."""
    vectors = _clusters()
    before = vectors.copy()
    first = project(vectors)
    np.testing.assert_array_equal(project(vectors), first)
    np.testing.assert_array_equal(vectors, before)
    assert np.abs(project(vectors, random_state=1) - first).max() > 0.1


def test_the_graph_is_that_of_umap_learn(digits):
    """The fuzzy graph has the edges and strengths that umap-learn gives it."""
    from umap.umap_ import fuzzy_simplicial_set

    indices, distances = nearest_all(digits, 15)
    wanted, *_ = fuzzy_simplicial_set(
        digits, 15, np.random.RandomState(0), "euclidean", knn_indices=indices, knn_dists=distances
    )
    got = fuzzy_graph((indices, distances))
    assert abs(got - wanted).max() < 1e-4


@pytest.mark.parametrize(("n", "d", "k"), [(2500, 8, 15), (1025, 70, 5), (12, 3, 12), (7, 1, 3)])
def test_neighbours_are_exact(n, d, k):
    """All rows' neighbours are those of an independent search, at blocks' edges too; a row is its own first."""
    rows = _clusters(n, d) + 100
    indices, distances = nearest_all(rows, k)
    wanted, _ = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows.astype(float)).kneighbors(rows)
    np.testing.assert_array_equal(indices[:, 0], np.arange(n))
    np.testing.assert_allclose(distances, wanted, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(rows[:, None] - rows[indices], axis=2), distances, atol=2e-3)
    assert all(len(set(row)) == k for row in indices.tolist())


def test_neighbours_in_cells_are_nearly_exact(monkeypatch):
    """The search in cells misses at most three neighbours in a hundred, and is the same on every run."""
    rows = _clusters(6000, 80, groups=200)
    exact, _ = nearest_all(rows, 15)
    monkeypatch.setattr(_neighbours, "EXACT_ROWS", 1000)
    found, distances = nearest_all(rows, 15)
    np.testing.assert_array_equal(nearest_all(rows, 15)[0], found)
    np.testing.assert_array_equal(found[:, 0], np.arange(6000))
    assert (np.diff(distances, axis=1) >= 0).all()
    assert np.mean([len(np.intersect1d(a, b)) / 15 for a, b in zip(exact, found, strict=True)]) > 0.97


def test_cells_without_enough_rows_are_filled(monkeypatch):
    """Where a row's cells hold fewer rows than are asked for, others are measured: no place stays empty."""
    monkeypatch.setattr(_neighbours, "EXACT_ROWS", 10)
    monkeypatch.setattr(_neighbours, "PROBED", 1)
    rows = np.vstack([_clusters(300, 4), 1000 + np.arange(8).reshape(2, 4)]).astype(np.float32)
    indices, distances = nearest_all(rows, 15)
    assert np.isfinite(distances).all()
    assert indices.min() >= 0
    assert all(len(set(row)) == 15 for row in indices.tolist())


@pytest.mark.parametrize("copies", [2, 40])
def test_duplicates_lie_together(copies):
    """Every row many times over: a finite map on which copies are nearer to each other than to the rest."""
    vectors = np.repeat(_clusters(1200 // copies), copies, axis=0)
    points = project(vectors)
    assert np.isfinite(points).all()
    middle = points.reshape(-1, copies, 2).mean(axis=1)
    own = np.linalg.norm(points.reshape(-1, copies, 2) - middle[:, None], axis=2).mean()
    assert own < 0.25 * np.linalg.norm(points - points.mean(axis=0), axis=1).mean()


@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 7, 10, 16])
def test_few_rows_get_a_map(n):
    """However few rows there are, each gets a place of its own; fewer than six lie as in `first_map`."""
    vectors = _clusters(max(n, 1), 4)[:n]
    points = project(vectors)
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == n
    if n < 6:
        np.testing.assert_array_equal(points, first_map(vectors))


@pytest.mark.parametrize(
    "vectors",
    [np.ones((50, 4)), np.zeros((50, 1)), np.zeros((3, 0)), np.arange(40.0)[:, None], np.eye(30), 1e-20 * np.eye(9)],
    ids=["constant", "zeros", "no dimension", "one dimension", "all equally far", "tiny"],
)
def test_data_without_shape_gets_a_map(vectors):
    """Constant rows, one dimension, rows that are all equally far from each other: finite points."""
    for points in (project(vectors), first_map(vectors)):
        assert points.shape == (len(vectors), 2)
        assert np.isfinite(points).all()


def test_more_neighbours_than_rows_is_all_of_them():
    """n_neighbors beyond the rows takes all rows."""
    vectors = _clusters(12, 4)
    np.testing.assert_array_equal(project(vectors, n_neighbors=500), project(vectors, n_neighbors=11))


def test_settings_change_the_map():
    """min_dist spreads the points: their nearest neighbours on the map are farther away."""
    vectors = _clusters(300)
    apart = [
        np.median(NearestNeighbors(n_neighbors=1).fit(p).kneighbors()[0])
        for p in (project(vectors, min_dist=0.0), project(vectors, min_dist=0.8))
    ]
    assert apart[1] > 1.5 * apart[0]


def test_pieces_far_apart_stay_apart():
    """A neighbour graph in two pieces: a finite map with both of them, not mixed, and the same on every run."""
    vectors = np.vstack([_clusters(100), _clusters(100, seed=1) + 1000])
    points = project(vectors)
    np.testing.assert_array_equal(project(vectors), points)
    near = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(return_distance=False)
    assert ((near < 100) == (np.arange(200) < 100)[:, None]).all()


def test_its_steps_are_told():
    """on_epoch gets copies of the whole map at rising epochs up to the last, which is the result."""
    steps = []
    points = project(_clusters(), on_epoch=lambda *step: steps.append(step))
    epochs = [epoch for _, epoch, _ in steps]
    assert epochs == list(range(20, 501, 20))
    assert {total for *_, total in steps} == {500}
    assert all(seen.shape == (400, 2) and seen.dtype == np.float32 for seen, *_ in steps)
    assert not np.array_equal(steps[0][0], steps[1][0])
    np.testing.assert_array_equal(steps[-1][0], points)
    np.testing.assert_array_equal(project(_clusters()), points)  # looking changes nothing


def test_it_can_be_interrupted():
    """What on_epoch raises, as an interruption does, ends the work, and the next map is as ever."""
    seen = []

    def stop(_points, epoch, _total):
        seen.append(epoch)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project(_clusters(), on_epoch=stop)
    assert seen == [20]
    np.testing.assert_array_equal(project(_clusters()), project(_clusters()))


def test_progress_is_shown(capsys):
    """A bar is shown when it is asked for, and only then."""
    project(_clusters())
    assert capsys.readouterr().err == ""
    project(_clusters(), progress=True)
    assert "Laying out the map" in capsys.readouterr().err


def test_the_first_map_is_the_principal_components():
    """It spans the plane of the two strongest singular vectors, strongest first, and reaches to 10."""
    vectors = _clusters(300, 40) * np.linspace(3, 1, 40, dtype=np.float32)
    points = first_map(vectors)
    centred = vectors.astype(float) - vectors.mean(axis=0, dtype=float)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = u[:, :2] * s[:2]
    for axis in (0, 1):
        assert abs(np.corrcoef(points[:, axis], wanted[:, axis])[0, 1]) > 0.999
    assert np.abs(points).max() == pytest.approx(10)
    assert points.std(axis=0)[0] > points.std(axis=0)[1]
    np.testing.assert_array_equal(first_map(vectors), points)


@pytest.mark.parametrize("make", [project, first_map])
@pytest.mark.parametrize(
    ("vectors", "words"),
    [(np.zeros(4), "must be 2-D"), ([["a", "b"]], "must be numbers"), ([[1.0, np.nan]], "must be finite")],
)
def test_bad_vectors_are_refused(make, vectors, words):
    """What isn't a finite matrix is an error that says so."""
    with pytest.raises(InvalidInputError, match=words):
        make(vectors)


def test_umap_is_not_imported():
    """A map costs no import of umap-learn, pynndescent or scikit-learn."""
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from slicelab.discovery import project, first_map\n"
        "rows = np.random.default_rng(0).normal(size=(60, 5)); project(rows); first_map(rows)\n"
        "print({'umap', 'pynndescent', 'sklearn', 'torch', 'fiftyone'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_read_only_vectors_are_projected(tmp_path):
    """Vectors that are mapped from a file, as the store gives them, are read where they are."""
    np.save(tmp_path / "vectors.npy", _clusters(60))
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    np.testing.assert_array_equal(project(mapped), project(_clusters(60)))
