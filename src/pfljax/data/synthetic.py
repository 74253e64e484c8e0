"""Synthetic(alpha, beta): softmax regression with a truth, and inputs, of every client's own.

Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, section 5.1.
"""

import numpy as np

from pfljax import keys
from pfljax.data.population import About, Population
from pfljax.errors import at_least, whole

FEATURES, CLASSES = 60, 10


def synthetic(alpha: float = 1.0, beta: float = 1.0, num_clients: int = 30, seed: int = 0) -> Population:
    """x: [example, 60] f32, y: [example] one of 10 classes, without noise; sizes log-normal(4, 2) + 50.

    Client k draws u_k ~ N(0, alpha) and its truth W_k, b_k around u_k; B_k ~ N(0, beta) and the mean of its inputs
    around B_k, with variance j^-1.2 of feature j. alpha and beta are standard deviations, as in the authors' script:
    how far truths and inputs lie apart. Rows are split 80, 10 and 10 percent into train, validation and test.

    Raises PflError for negative alpha or beta, or no client.

    >>> synthetic(num_clients=3).num_clients
    3
    """
    at_least("alpha", alpha, 0)
    at_least("beta", beta, 0)
    generator = keys.host(seed, "synthetic")
    spread = np.arange(1, FEATURES + 1) ** -0.6  # standard deviations
    clients = {}
    for index in range(whole("num_clients", num_clients)):
        rows = int(generator.lognormal(4, 2)) + 50
        centre, shift = generator.normal(0, alpha), generator.normal(0, beta)
        truth, bias = generator.normal(centre, 1, (FEATURES, CLASSES)), generator.normal(centre, 1, CLASSES)
        x = generator.normal(generator.normal(shift, 1, FEATURES), spread, (rows, FEATURES))
        y = np.argmax(x @ truth + bias, axis=1)
        clients[f"s{index}"] = {"x": x.astype(np.float32), "y": y.astype(np.int32)}
    about = About(
        f"synthetic({alpha:g}, {beta:g})", "10 classes from 60 features", CLASSES, "generated", "no data of anybody's"
    )
    return Population.from_clients(clients, split=(0.8, 0.1, 0.1), about=about)
