"""Partitioners by label and by size: every row once, their laws against plain loops, refusals, pinned results."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data import partition
from pfljax.data.partition import Partition, dealing
from pfljax.errors import PflError

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
ALPHAS = st.one_of(st.sampled_from([1e-100, 1e-8, 1e-3, 1.0, 1e8, 1e100]), st.floats(1e-8, 1e8))
BY_LABEL = {
    "dirichlet": lambda y, clients, **kw: partition.dirichlet(y, clients, 0.5, **kw),
    "mixtures": lambda y, clients, **kw: partition.mixtures(y, clients, 0.5, **kw),
    "pachinko": lambda y, clients, **kw: partition.pachinko(y, y // 3, clients, alpha=0.5, **kw),
    "shards": lambda y, clients, **kw: partition.shards(y, clients, **kw),
    "classes": lambda y, clients, **kw: partition.classes(y, clients, **kw),
}
BY_SIZE = {
    "iid": partition.iid,
    "lognormal_sizes": partition.lognormal_sizes,
    "zipf_sizes": partition.zipf_sizes,
}
SEEDED = BY_LABEL | {name: lambda y, clients, f=f, **kw: f(len(y), clients, **kw) for name, f in BY_SIZE.items()}


@st.composite
def label_sets(draw):
    """Labels, some of which are rare or absent, and a number of clients and a least size that fit."""
    weights = draw(st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(sum))
    rows, seed = draw(st.integers(2, 300)), draw(st.integers(0, 99))
    shares = np.array(weights) / sum(weights)
    y = np.random.default_rng(seed).choice(len(weights), rows, p=shares).astype(draw(st.sampled_from(["u1", "i8"])))
    least = draw(st.integers(1, min(5, rows)))
    return y, draw(st.integers(1, rows // least)), least, seed


def every_row_once(made: Partition, rows: int, least: int) -> None:
    assert sorted(made.rows.tolist()) == list(range(rows))
    assert made.sizes.min() >= least
    for client in made.ids:  # in the order of the source
        assert (np.diff(made.client(client)) > 0).all()


def table(made: Partition, y: np.ndarray) -> np.ndarray:
    """[client, label] by a plain loop."""
    counts = np.zeros((made.num_clients, int(y.max()) + 1), int)
    for client, name in enumerate(made.ids):
        for row in made.client(name).tolist():
            counts[client, int(y[row])] += 1
    return counts


def refusal(make, *arguments, **options) -> str:
    with pytest.raises(PflError) as error:
        make(*arguments, **options)
    assert re.search(r"expected .+ got .+", str(error.value))
    return str(error.value)


# ---- every row once, at any alpha and any number of clients ----


@STEADY
@given(case=label_sets(), alpha=ALPHAS)
def test_dirichlet_deals_every_row_once(case, alpha):
    y, clients, least, seed = case
    every_row_once(partition.dirichlet(y, clients, alpha, min_size=least, seed=seed), len(y), least)


@STEADY
@given(case=label_sets(), alpha=ALPHAS)
def test_mixtures_deal_every_row_once_in_equal_sizes(case, alpha):
    y, clients, least, seed = case
    made = partition.mixtures(y, clients, alpha, min_size=least, seed=seed)
    every_row_once(made, len(y), least)
    assert made.sizes.max() - made.sizes.min() <= 1


@STEADY
@given(case=label_sets(), alpha=ALPHAS, beta=ALPHAS, width=st.integers(1, 4))
def test_pachinko_deals_every_row_once_in_equal_sizes(case, alpha, beta, width):
    y, clients, least, seed = case
    made = partition.pachinko(y, y // width, clients, alpha=alpha, beta=beta, min_size=least, seed=seed)
    every_row_once(made, len(y), least)
    assert made.sizes.max() - made.sizes.min() <= 1


@STEADY
@given(
    rows=st.integers(1, 400), least=st.integers(1, 5), skew=st.sampled_from([0, 0.5, 3.0, 100, 1e100]), data=st.data()
)
def test_sizes_deal_every_row_once(rows, least, skew, data):
    if rows < least:
        return
    clients, seed = data.draw(st.integers(1, rows // least)), data.draw(st.integers(0, 9))
    made = partition.iid(rows, clients, min_size=least, seed=seed)
    every_row_once(made, rows, least)
    assert made.sizes.max() - made.sizes.min() <= 1
    every_row_once(partition.lognormal_sizes(rows, clients, skew, min_size=least, seed=seed), rows, least)
    every_row_once(partition.zipf_sizes(rows, clients, skew, min_size=least, seed=seed), rows, least)


@STEADY
@given(case=label_sets(), per_client=st.integers(1, 6))
def test_shards_deal_every_row_once(case, per_client):
    y, clients, least, seed = case
    if clients * per_client * -(-least // per_client) > len(y):
        assert "num_clients: expected at most" in refusal(partition.shards, y, clients, per_client, min_size=least)
        return
    made = partition.shards(y, clients, per_client, min_size=least, seed=seed)
    every_row_once(made, len(y), least)
    longest = -(-len(y) // (clients * per_client))
    counts = table(made, y)
    present = counts.sum(axis=0)
    if present[present > 0].min() >= longest:  # then no shard has a third label
        assert ((counts > 0).sum(axis=1) <= 2 * per_client).all()
    assert (made.sizes <= per_client * longest).all()


@STEADY
@given(case=label_sets(), per_client=st.integers(1, 6))
def test_classes_gives_exactly_so_many_classes(case, per_client):
    y, clients, least, seed = case
    occur, per_class = np.unique(y, return_counts=True)
    part = -(-least // per_client)
    room = int(np.minimum(per_class // part, clients).sum())
    if per_client > len(occur) or room < clients * per_client:
        refusal(partition.classes, y, clients, per_client, min_size=least)
        return
    made = partition.classes(y, clients, per_client, min_size=least, seed=seed)
    counts = table(made, y)
    assert ((counts > 0).sum(axis=1) == per_client).all()
    assert made.sizes.min() >= least
    owned = counts.sum(axis=0)[occur]
    full = np.bincount(y)[occur]
    assert ((owned == full) | (owned == 0)).all()  # a class is used whole or not at all
    if clients * per_client >= len(occur) and per_class.min() >= part:
        every_row_once(made, len(y), least)
    assert len(np.unique(made.rows)) == len(made.rows)
    for label in occur:  # and shared equally
        held = counts[counts[:, label] > 0, label]
        assert not len(held) or held.max() - held.min() <= 1


# ---- laws ----


def test_a_large_alpha_gives_everybody_the_mix_of_the_whole():
    y = np.repeat(np.arange(5), [100, 200, 300, 400, 1000])
    for made in (partition.dirichlet(y, 20, 1e12), partition.dirichlet(y, 20, 1e12, seed=3)):
        assert (abs(table(made, y) - np.bincount(y) / 20) <= 1).all()
    counts = table(partition.mixtures(y, 20, 1e12), y)
    # Multinomial draws without replacement: within five standard deviations of the share.
    share = np.bincount(y) / len(y)
    assert (abs(counts - 100 * share) <= 5 * np.sqrt(100 * share * (1 - share))).all()


def test_a_small_alpha_gives_each_label_to_one_client():
    y = np.repeat(np.arange(40), 25)
    made = partition.dirichlet(y, 200, 1e-8, min_size=1)
    counts = table(made, y)
    # 40 labels meet up to 40 clients; everybody else gets rows of those, one label each.
    big = counts.sum(axis=1) > 1
    assert big.sum() <= 40
    assert ((counts[~big] > 0).sum(axis=1) == 1).all()
    plain = partition.dirichlet(np.repeat(np.arange(2), 500), 2, 1e-8, min_size=1)
    assert set(Counter((table(plain, np.repeat(np.arange(2), 500)) > 0).sum(axis=1).tolist())) <= {1, 2}
    one_each = (table(partition.mixtures(y, 100, 1e-8), y) > 0).sum(axis=1)
    assert np.mean(one_each == 1) > 0.5


@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_dirichlet_shares_have_the_variance_of_their_law(alpha):
    """A label's shares over clients: mean 1/n, variance (1/n)(1 - 1/n) / (n alpha + 1)."""
    y = np.repeat(np.arange(400), 1000)
    clients = 5
    shares = table(partition.dirichlet(y, clients, alpha, min_size=1), y) / 1000
    mean, variance = 1 / clients, (1 / clients) * (1 - 1 / clients) / (clients * alpha + 1)
    assert abs(shares.mean(axis=1) - mean).max() < 5 * np.sqrt(variance / 400)
    assert abs(shares.var() / variance - 1) < 0.15


def test_shares_are_dirichlets_where_gammas_vanish():
    """Of Dirichlet(a, a) the log-ratio is symmetric, and for a small a its size is exponential with rate a."""
    logs = dealing.log_gamma(np.random.default_rng(0), np.full((20_000, 2), 1e-6))
    ratio = logs[:, 0] - logs[:, 1]
    assert np.isfinite(logs).all()
    assert abs(np.mean(ratio > 0) - 0.5) < 0.02
    assert abs(np.mean(abs(ratio)) * 1e-6 - 1) < 0.05
    generator = np.random.default_rng(1)
    mine = dealing.shares(dealing.log_gamma(generator, np.full((20_000, 3), 0.7)))
    theirs = generator.dirichlet([0.7] * 3, 20_000)
    np.testing.assert_allclose(
        np.quantile(mine[:, 0], [0.1, 0.5, 0.9]), np.quantile(theirs[:, 0], [0.1, 0.5, 0.9]), atol=0.02
    )


def test_pachinko_has_coarse_skew_and_fine_mixes():
    fine = np.repeat(np.arange(40), 100)
    made = partition.pachinko(fine, fine // 8, 40, alpha=1e-6, beta=1e6)
    coarse = table(made, fine).reshape(40, 5, 8)
    first = coarse[:10]  # later ones take what is left
    single = (first.sum(axis=2) > 0).sum(axis=1) == 1
    assert single.sum() >= 8
    assert ((first[single].max(axis=1) > 0).sum(axis=1) == 8).all()
    flipped = table(partition.pachinko(fine, fine // 8, 40, alpha=1e6, beta=1e-6), fine).reshape(40, 5, 8)[:10]
    assert ((flipped.sum(axis=2) > 0).sum(axis=1) == 5).all()
    assert np.median((flipped > 0).sum(axis=2)) == 1


def test_pachinko_takes_coarse_labels_in_any_order_and_of_any_width():
    """Six fine labels of 0, one of 1 and three of 2, among each other."""
    fine = np.repeat(np.arange(10), 60)
    coarse = np.array([2, 0, 0, 1, 0, 2, 0, 0, 2, 0])[fine]
    counts = table(partition.pachinko(fine, coarse, 60, alpha=1e-6, beta=1e6), fine)[:20]
    by_coarse = np.stack([counts[:, np.array([2, 0, 0, 1, 0, 2, 0, 0, 2, 0]) == c].sum(axis=1) for c in range(3)])
    assert ((by_coarse > 0).sum(axis=0) == 1).sum() >= 15
    assert (by_coarse > 0).any(axis=1).all()


def test_draws_without_replacement_are_those_of_a_plain_loop():
    """Frequencies of the batched draw against one by one with shares normalized again, 3 of (2, 1, 2) rows."""
    from pfljax.data.partition.latent import _draw

    share, left, tries = np.array([0.7, 0.2, 0.1]), np.array([2, 1, 2]), 6_000
    generator = np.random.default_rng(0)
    batched = Counter(
        tuple(_draw(generator, np.array([3]), np.log(share)[None], left[None])[0].tolist()) for _ in range(tries)
    )
    expected: Counter = Counter({(0, 0, 0): 1.0})
    for _ in range(3):
        after: Counter = Counter()
        for drawn, chance in expected.items():
            alive = share * (np.array(drawn) < left)
            for label in np.flatnonzero(alive):
                step = tuple(n + (k == label) for k, n in enumerate(drawn))
                after[step] += chance * alive[label] / alive.sum()
        expected = after
    assert set(batched) == set(expected)
    for drawn, chance in expected.items():
        assert abs(batched[drawn] / tries - chance) < 5 * np.sqrt(chance * (1 - chance) / tries)


def test_classes_have_clients_in_proportion_to_their_rows_and_mix():
    y = np.repeat(np.arange(10), [50, 50, 100, 100, 100, 100, 100, 100, 100, 200])
    made = partition.classes(y, 100, 2)
    held = table(made, y) > 0
    assert held.sum(axis=0).tolist() == [10, 10, 20, 20, 20, 20, 20, 20, 20, 40]
    assert len({tuple(np.flatnonzero(row)) for row in held}) > 25  # of 45 pairs
    assert made.sizes.tolist() == [10] * 100


def test_too_few_seats_leave_classes_to_nobody():
    y = np.repeat(np.arange(10), 20)
    made = partition.classes(y, 3, 2)
    assert len(made.rows) == 6 * 20
    assert made.num_rows == 200


def test_sizes_follow_their_laws():
    """Log-normal: the logarithms' spread. Zipf: the k-th largest is n * k^-s over the sum."""
    sizes = partition.lognormal_sizes(10**6, 2000, 1.5, min_size=1).sizes
    assert abs(np.log(sizes).std() - 1.5) < 0.1
    ranked = np.sort(partition.zipf_sizes(10**5, 50, 1.2, min_size=1).sizes)[::-1]
    law = np.arange(1, 51) ** -1.2
    assert (abs(ranked - 10**5 * law / law.sum()) <= 1).all()
    assert (np.diff(partition.zipf_sizes(10**5, 50, 1.2, min_size=1).sizes) > 0).any()  # who is large is drawn


@STEADY
@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12), least=st.integers(1, 6))
def test_rows_move_from_the_largest_as_one_by_one(sizes, least):
    """One row at a time from whoever is largest gives the same sizes, up to who is who among equals."""
    if sum(sizes) < least * len(sizes):
        return
    given_, missing = dealing.moves(np.array(sizes), least)
    assert given_.sum() == missing.sum()
    plain = list(sizes)
    for client in range(len(plain)):
        while plain[client] < least:
            plain[int(np.argmax(plain))] -= 1
            plain[client] += 1
    assert sorted((np.array(sizes) - given_ + missing).tolist()) == sorted(plain)


def test_filling_keeps_givers_mixes():
    owner = np.concatenate([np.zeros(90, int), np.ones(10, int)])  # in the order of labels: 60 of a, 30 of b
    filled = dealing.fill(owner, 3, 30)
    assert np.bincount(filled).tolist() == [40, 30, 30]
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    assert abs(np.bincount(labels[filled == 0], minlength=3) - np.array([40 * 2 / 3, 40 / 3, 0])).max() <= 1


def test_labels_may_be_far_apart():
    y = np.array([5, 10**15, 5, 10**15, 7, 7])
    near = np.array([0, 2, 0, 2, 1, 1])
    for name in ("dirichlet", "mixtures", "shards", "classes"):
        far, close = BY_LABEL[name](y, 2), BY_LABEL[name](near, 2)
        np.testing.assert_array_equal(far.rows, close.rows)
        assert far.sha256() != close.sha256()  # made for other data


def test_many_clients_are_grouped_right():
    """More than 2**16, where grouping takes a second pass."""
    made = partition.dirichlet(np.arange(150_000) % 7, 70_000, 0.1)
    assert made.sizes.min() >= 2
    np.testing.assert_array_equal(np.sort(made.rows), np.arange(150_000))
    order, offsets = partition.record.group(np.arange(200_000)[::-1].copy(), 200_000)
    np.testing.assert_array_equal(order, np.arange(200_000)[::-1])
    np.testing.assert_array_equal(offsets, np.arange(200_001))


# ---- seeds, pins ----

Y = np.array([0, 1, 2, 3, 4, 5] * 6 + [0] * 12)
GOLDEN = {
    "dirichlet": "235f7b4bee3264368d7cac02b75f1768d6cb85979855de8a21520d5a6dc8b1af",
    "mixtures": "665fbcf490590ff41bd365d17d624dfeeff9e0c1540e4759ad1f320bf31fa8f0",
    "pachinko": "31769f5cf6a167bb1c906bc3369f1a8774fa6ab7151c99de658bdbb4bc12c794",
    "shards": "6a1c247f45c01651006715fb73040a0e99cfd06d2f0baf53c5bebeff7f0ded73",
    "classes": "5a176406c37747be7c0efcd3ca8bf7e569d7552f8414ca645aa2ab44d2e9dbee",
    "iid": "fb9b09069747fc65fbf86d7fa0ffc5af1ad6ee0c9da9affdc8e31dbc6ef7236e",
    "lognormal_sizes": "d09357681213a327f20a196d602371f56193380e382e6b95ee4378627f78b4b0",
    "zipf_sizes": "5dc33c96dd0d1e0b8b6930015d3624032f1539f88a34cb1e25ae59bc96f54335",
}


@pytest.mark.parametrize("name", SEEDED)
def test_seeds(name):
    first, again, other = (SEEDED[name](Y, 8, seed=seed).sha256() for seed in (3, 3, 4))
    assert first == again != other
    assert SEEDED[name](Y, 8).sha256() == GOLDEN[name]  # a new numpy or another machine must not change it


def test_partitioners_do_not_share_draws():
    made = [SEEDED[name](Y, 8).rows.tolist() for name in SEEDED]
    assert len({tuple(rows) for rows in made}) == len(made)


# ---- refusals ----


@pytest.mark.parametrize("name", SEEDED)
def test_too_many_clients_are_refused_with_the_numbers(name):
    message = refusal(SEEDED[name], Y, 25)
    assert "num_clients: expected at most 24" in message
    assert "48 rows" in message
    assert "got 25" in message
    assert "num_clients: expected at most 4" in refusal(SEEDED[name], Y, 5, min_size=12)
    for bad in (0, 2.0, "8", True):
        assert "num_clients" in refusal(SEEDED[name], Y, bad)
    for options in ({"min_size": 0}, {"seed": -1}, {"seed": None}, {"min_size": 1.5}):
        assert next(iter(options)) in refusal(SEEDED[name], Y, 4, **options)


@pytest.mark.parametrize("name", BY_LABEL)
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 1, -1, 2]), "expected none below 0, got -1 in row 2"),
        (np.array([0, np.nan, 1, 2]), "expected whole numbers, got float64 with nan in row 1"),
        (np.array([0.0, 1.0]), "expected whole numbers, got float64; drop such rows and cast"),
        (np.array(["a", "b"]), "expected whole numbers, got dtype <U1; encode them first"),
        (np.zeros((4, 1), int), "expected one value for each of at least one row, got shape [4, 1]"),
        (np.zeros(0, int), "at least one row, got shape [0]"),
        (np.array([1, None, 2], object), "got None, a NoneType, in row 1 after a int"),
        (np.array([1 + 1j]), "got dtype complex128"),
    ],
)
def test_bad_labels_are_refused(name, labels, words):
    make = BY_LABEL[name] if name != "pachinko" else lambda y, n: partition.pachinko(y, np.zeros(len(y), int), n)
    assert words in refusal(make, labels, 1)


@pytest.mark.parametrize("alpha", [0, -1, np.nan, np.inf, "0.1", None, True, 1e-200])
def test_bad_concentrations_are_refused(alpha):
    assert "alpha: expected a number from 1e-100 to 1e+100" in refusal(partition.dirichlet, Y, 4, alpha)
    assert "alpha" in refusal(partition.mixtures, Y, 4, alpha)
    assert "alpha" in refusal(partition.pachinko, Y, Y // 3, 4, alpha=alpha)
    assert "beta" in refusal(partition.pachinko, Y, Y // 3, 4, beta=alpha)


def test_other_bad_arguments_are_refused():
    assert "sigma" in refusal(partition.lognormal_sizes, 10, 2, -0.1)
    assert "exponent" in refusal(partition.zipf_sizes, 10, 2, np.nan)
    assert "num_rows" in refusal(partition.iid, 0, 1)
    assert "per_client: expected at most the 6 classes" in refusal(partition.classes, Y, 4, 7)
    assert "per_client" in refusal(partition.shards, Y, 4, 0)
    assert "coarse: expected a label for each of 48 rows, got 3" in refusal(partition.pachinko, Y, Y[:3], 4)
    assert "one coarse label for every fine one" in refusal(partition.pachinko, Y, np.arange(48), 4)
