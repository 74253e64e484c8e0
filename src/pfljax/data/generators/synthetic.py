"""Synthetic(alpha, beta): softmax regression with a truth, and inputs, of every client's own."""

import numpy as np

from pfljax.data.generators.generated import Generated, about, stream
from pfljax.data.population import Population
from pfljax.errors import at_least, whole

FEATURES, CLASSES = 60, 10


def synthetic(alpha: float = 1.0, beta: float = 1.0, num_clients: int = 30, seed: int = 0) -> Generated:
    """Li et al., MLSys 2020 (FedProx), section 5.1. x: [example, 60] f32, y: [example] i32, of 10 classes.

    Client k draws u_k ~ N(0, alpha) and its truth W_k, b_k around u_k; B_k ~ N(0, beta) and the mean of its inputs
    around B_k, with variance j^-1.2 of feature j; y is the largest of W_k x + b_k,
    without noise. alpha and beta are standard
    deviations, as in the authors' script: how far truths and inputs lie apart. Sizes are log-normal(4, 2) + 50; rows
    are split 80, 10 and 10 percent into train, validation and test.

    truth: weights [client, 60, 10], bias [client, 10], input_mean [client, 60]

    Raises PflError for negative alpha or beta, or no client.

    >>> synthetic(num_clients=3).population.num_clients
    3
    """
    return _softmax_regressions("synthetic", alpha, beta, num_clients, seed, times=1)


def synthetic_pfedme(alpha: float = 0.5, beta: float = 0.5, num_clients: int = 100, seed: int = 0) -> Generated:
    """T. Dinh et al., NeurIPS 2020 (pFedMe): as `synthetic`, with more clients of five times as many rows.

    What their script has otherwise: 100 clients for 30; sizes of 5 (log-normal(4, 2) + 50), so at least 250; and
    alpha = beta = 0.5, which is one of the pairs of FedProx. Classes, features and laws are the same, and nothing is
    normalized. The script leaves 10 percent for test, and no rows for validation; here they are split 80, 10, 10.

    >>> int(np.diff(synthetic_pfedme(num_clients=3).population.offsets).min()) >= 250
    True
    """
    return _softmax_regressions("synthetic_pfedme", alpha, beta, num_clients, seed, times=5)


def _softmax_regressions(
    name: str, alpha: float, beta: float, num_clients: int, seed: int | np.random.Generator, times: int
) -> Generated:
    at_least("alpha", alpha, 0)
    at_least("beta", beta, 0)
    whole("num_clients", num_clients)
    generator = stream(seed, name)
    spread = np.arange(1, FEATURES + 1) ** -0.6  # standard deviations
    clients, truths = {}, []
    for index in range(num_clients):
        rows = times * (int(generator.lognormal(4, 2)) + 50)
        centre, shift = generator.normal(0, alpha), generator.normal(0, beta)
        weights, bias = generator.normal(centre, 1, (FEATURES, CLASSES)), generator.normal(centre, 1, CLASSES)
        mean = generator.normal(shift, 1, FEATURES)
        x = generator.normal(mean, spread, (rows, FEATURES))
        y = np.argmax(x @ weights + bias, axis=1)
        clients[f"s{index}"] = {"x": x.astype(np.float32), "y": y.astype(np.int32)}
        truths.append((weights, bias, mean))
    return Generated(
        Population.from_clients(
            clients,
            split=(0.8, 0.1, 0.1),
            about=about(f"{name}({alpha:g}, {beta:g})", "10 classes from 60 features", CLASSES),
        ),
        dict(zip(("weights", "bias", "input_mean"), map(np.stack, zip(*truths, strict=True)), strict=True)),
    )
