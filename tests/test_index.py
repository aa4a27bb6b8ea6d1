"Names that come later: whatever the index and the newcomers, old names stay, all are unique, no token is new, and what cannot be done is refused."
import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from p5_nb.index.ids import ItemIndex
from p5_nb.index.semantic import category_index, extend_index, independent_index, residual_codes, residual_kmeans, semantic_index, title_index, unique_index

@st.composite
def cases(draw):
    "An index with some room, vectors of its items, and newcomers."
    levels, seed = draw(st.integers(1, 4)), draw(st.integers(0, 10**6))
    sizes, rng = tuple(draw(st.lists(st.integers(1, 5), min_size=levels, max_size=levels))), np.random.default_rng(seed)
    space = int(np.prod(sizes))
    taken = rng.choice(space, draw(st.integers(1, space)), replace=False)
    index = ItemIndex(np.stack(np.unravel_index(taken, sizes), 1), sizes, "drawn")
    return index, rng.integers(0, 4, (len(index), 2)).astype(float), rng.integers(0, 4, (draw(st.integers(0, 6)), 2)).astype(float), draw(st.integers(1, 8)), draw(st.integers(0, 2))

@settings(max_examples=150, deadline=None)
@given(cases())
def test_newcomers(case):
    index, vectors, newcomers, near, more = case
    try: longer = extend_index(index, vectors, newcomers, near, more)
    except ValueError as e: assert "no free last token" in str(e) and "near=" in str(e); return
    n = len(index)
    assert len(longer) == n + len(newcomers) and np.array_equal(longer.codes[:n], index.codes) and longer.name == index.name
    assert longer.sizes == (*index.sizes[:-1], index.sizes[-1] + more) or not len(newcomers) and longer == index
    assert len({tuple(name) for name in longer.codes.tolist()}) == len(longer)
    for vector, name in zip(newcomers, longer.codes[n:].tolist()):
        distance = ((vectors - vector)**2).sum(1)
        near_enough = np.sort(distance)[min(near, n) - 1]
        assert any(index.codes[i, :-1].tolist() == name[:-1] for i in np.flatnonzero(distance <= near_enough))

@settings(max_examples=60, deadline=None)
@given(cases())
def test_refused_only_where_there_is_no_room(case):
    "With all items as neighbours, only a full tree refuses."
    index, vectors, newcomers, _, _ = case
    stems = np.unique(index.codes[:, :-1], axis=0)
    room = len(stems)*index.sizes[-1] - len(index)
    if room >= len(newcomers): assert len(extend_index(index, vectors, newcomers, near=len(index))) == len(index) + len(newcomers)
    else:
        with pytest.raises(ValueError, match=f"newcomer {room}: "): extend_index(index, vectors, newcomers, near=len(index))

def test_the_nearest_branch_is_taken_first():
    index = ItemIndex(np.array([[0, 0], [1, 0]]), (2, 9), "two")
    assert extend_index(index, np.array([[0.], [10]]), np.array([[6.], [4], [7]])).codes[2:].tolist() == [[1, 1], [0, 1], [1, 2]]

@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=3).map(tuple), min_size=1, max_size=30))
def test_words_make_unique_names(rows):
    if not any(rows):
        with pytest.raises(ValueError, match="no item has a word"): category_index(rows)
        return
    for index, alike in ((category_index(rows), rows), (title_index([" ".join(row) for row in rows]), rows)):
        longest = max(map(len, rows))
        assert len(index) == len(rows) and len(index.sizes) - longest in (0, 1)
        same = lambda i, j: index.codes[i, :longest].tolist() == index.codes[j, :longest].tolist()
        assert all(same(i, j) == (alike[i] == alike[j]) for i in range(len(rows)) for j in range(i))

@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 40))
def test_residuals(seed, n):
    "Each code is the nearest to what is left, and the names are unique."
    x = np.random.default_rng(seed).normal(size=(n, 3))
    books = residual_kmeans(x, (3, 2), seed % 100)
    codes, left = residual_codes(x, books), x
    for book, column in zip(books, codes.T):
        distance = np.linalg.norm(left[:, None] - book, axis=2)
        assert np.allclose(distance[np.arange(n), column], distance.min(1))
        left = left - book[column]
    assert len(semantic_index(x, (3, 2), seed % 100)) == n

def test_one_token_each_grows_only_if_allowed():
    at = np.arange(3.)[:, None]
    with pytest.raises(ValueError, match="more="): extend_index(independent_index(3), at, at)
    assert extend_index(independent_index(3), at, at, more=3).codes[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert unique_index(np.zeros((3, 1), int), (1,), "x").codes.tolist() == [[0, 0], [0, 1], [0, 2]]
