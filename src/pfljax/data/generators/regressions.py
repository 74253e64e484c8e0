"""Regressions with a structure over clients that methods are made to find: waves, clusters, a shared representation.

Rows are independent draws. `num_rows` are each client's rows for train, validation and test; `seed` is a number, or a
numpy Generator that is drawn from.
"""

import numpy as np
from numpy.typing import DTypeLike

from pfljax.data.generators.generated import Counts, Generated, about, counts, equal_clients, stream
from pfljax.errors import PflError, at_least, whole


def sinusoids(
    num_clients: int = 1000, num_rows: Counts = (20, 10, 50), seed: int | np.random.Generator = 0
) -> Generated:
    """Finn et al., ICML 2017 (MAML), section 5.1. x: [row, 1] f32 from U[-5, 5]; y: [row, 1] f32 = a sin(x - b).

    A client is a task: a is from U[0.1, 5], b from U[0, pi].

    truth: amplitude [client], phase [client]

    >>> sinusoids(3, num_rows=(10, 0, 100)).population.sizes("test")
    array([100, 100, 100])
    """
    shape = (whole("num_clients", num_clients), sum(counts(num_rows)))
    generator = stream(seed, "sinusoids")
    amplitude, phase = generator.uniform(0.1, 5, (num_clients, 1)), generator.uniform(0, np.pi, (num_clients, 1))
    x = generator.uniform(-5, 5, shape)
    arrays = {"x": x[..., None].astype(np.float32), "y": (amplitude * np.sin(x - phase))[..., None].astype(np.float32)}
    described = about("sinusoids", "a sine wave's height")
    truth = {"amplitude": amplitude[:, 0], "phase": phase[:, 0]}
    return Generated(equal_clients(arrays, num_rows, "sine", described), truth)


def mixed_regressions(
    num_clients: int = 100,
    num_clusters: int = 2,
    dim: int = 50,
    num_rows: Counts = (60, 20, 20),
    noise: float = 0.1,
    scale: float = 1.0,
    seed: int | np.random.Generator = 0,
) -> Generated:
    """Ghosh et al., NeurIPS 2020 (IFCA), section 6.1. x: [row, dim] f32, y: [row] f32 = x' theta_j + noise e.

    x and e are standard normal; theta_j, of the client's cluster j, is a vector of fair coins times `scale`. Client i
    is of cluster i modulo their number. The paper has 100 rows in 1,000 dimensions.

    truth: weights [cluster, dim], cluster [client] i64

    >>> mixed_regressions(4, 2).truth["cluster"]
    array([0, 1, 0, 1])
    """
    rows = sum(counts(num_rows))
    for name, number in {"num_clients": num_clients, "num_clusters": num_clusters, "dim": dim}.items():
        whole(name, number)
    at_least("noise", noise, 0)
    at_least("scale", scale, 0)
    generator = stream(seed, "mixed_regressions")
    weights = scale * generator.integers(0, 2, (num_clusters, dim))
    cluster = np.arange(num_clients) % num_clusters
    x, y = np.empty((num_clients, rows, dim), np.float32), np.empty((num_clients, rows), np.float32)
    for index, mine in enumerate(cluster):  # one by one, as all of the paper's in float64 are large
        drawn = generator.normal(size=(rows, dim))
        x[index], y[index] = drawn, drawn @ weights[mine] + noise * generator.normal(size=rows)
    described = about("mixed regressions", f"linear regression in {num_clusters} clusters")
    population = equal_clients({"x": x, "y": y}, num_rows, "c", described)
    return Generated(population, {"weights": weights.astype(float), "cluster": cluster})


def linear_representations(
    num_clients: int = 100,
    dim: int = 20,
    hidden: int = 2,
    num_rows: Counts = (20, 10, 10),
    noise: float = 0.0,
    seed: int | np.random.Generator = 0,
    *,
    basis: np.ndarray | None = None,
    dtype: DTypeLike = np.float32,
) -> Generated:
    """Collins et al., ICML 2021 (FedRep), section 5. x: [row, dim], y: [row] = x' B w_i + noise e, both of `dtype`.

    B is orthonormal and everybody's, w_i the client's own. As in the authors' simulation x ~ N(0, I / m), m train rows,
    so that X' X is near I, and the matrix of all w_i, [hidden, client], has rows of length one.

    basis: B, drawn if None; give one to draw other clients of it
    truth: basis [dim, hidden], heads [client, hidden]

    >>> linear_representations(5).truth["basis"].shape
    (20, 2)
    """
    train, *_ = counts(num_rows)
    for name, number in {"num_clients": num_clients, "dim": dim, "hidden": hidden}.items():
        whole(name, number)
    at_least("noise", noise, 0)
    if np.dtype(dtype).kind != "f":
        raise PflError(f"dtype: expected a float, got {np.dtype(dtype)}")
    if hidden > dim:
        raise PflError(f"hidden: expected at most dim, {dim}, got {hidden}")
    generator = stream(seed, "linear_representations")
    if basis is None:
        basis = np.linalg.qr(generator.normal(size=(dim, hidden)))[0]
    if np.shape(basis) != (dim, hidden):
        raise PflError(f"basis: expected shape [{dim}, {hidden}], got {list(np.shape(basis))}")
    heads = generator.normal(size=(hidden, num_clients))
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    x = generator.normal(size=(num_clients, sum(num_rows), dim)) / np.sqrt(train)
    y = np.einsum("nmd,dk,kn->nm", x, basis, heads) + noise * generator.normal(size=x.shape[:2])
    described = about("linear representations", f"linear regression on {hidden} shared features")
    population = equal_clients({"x": x.astype(dtype), "y": y.astype(dtype)}, num_rows, "c", described)
    return Generated(population, {"basis": np.asarray(basis, float), "heads": heads.T.copy()})
