"Joined lists, equal to ranx where it has the same, and as small cases say."
import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from p5_nb.predict.hybrid import as_table, blend, candidate_features, reciprocal_ranks, switch

def test_reciprocal_ranks_equal_ranx():
    ranx, rng = pytest.importorskip("ranx", reason="ranx is not installed: pip install 'p5_nb[dev]'"), np.random.default_rng(0)
    tables = [rng.random((5, 30)) for _ in range(3)]
    runs = [ranx.Run({f"u{u}": {f"i{i}": s for i, s in enumerate(row)} for u, row in enumerate(t)}) for t in tables]
    theirs, ours = ranx.fuse(runs=runs, norm=None, method="rrf", params={"k": 60}), reciprocal_ranks(tables, [1, 1, 1])
    for u in range(5):
        row = theirs.to_dict()[f"u{u}"] if hasattr(theirs, "to_dict") else theirs.run[f"u{u}"]
        assert np.allclose([row[f"i{i}"] for i in range(30)], ours[u])

@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(2, 12), st.integers(0, 10**6))
def test_blend_by_loop(users, items, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((users, items)), rng.integers(0, 4, (users, items)).astype(float)
    joined = blend([a, b], [.5, 2.])
    for u in range(users):
        for i in range(items): assert np.isclose(joined[u, i], .5*a[u, i]/sum(a[u]) + 2*(b[u, i]/sum(b[u]) if sum(b[u]) else 0))
    choice = rng.integers(2, size=users)
    assert all((row == (a, b)[c][u]).all() for u, (row, c) in enumerate(zip(switch([a, b], choice), choice)))
    row, item, x = candidate_features([a*(a > .5), b], np.arange(items))
    assert set(zip(row.tolist(), item.tolist())) == {(u, i) for u in range(users) for i in range(items) if a[u, i] > .5 or b[u, i] > 0} and np.isfinite(x).all()

def test_lists_as_a_table():
    t = as_table(np.array([[3, 1], [0, -1]]), np.log([[.5, .2], [.9, .1]]), 4)
    assert np.allclose(t, [[0, .2, 0, .5], [.9, 0, 0, 0]])
