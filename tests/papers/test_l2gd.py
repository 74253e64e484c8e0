"""L2GD. Hanzely and Richtarik, 2020, Algorithm 1, in numpy, with the coin that our run threw."""

import numpy as np

import pfljax as pfl
from tests.support import parity


def l2gd(clients, coins, start, lam, prob, lr):
    n = len(clients)
    x = np.tile(start, (n, 1))
    for coin in coins:
        if coin:
            x = x - lr * lam / (n * prob) * (x - x.mean(axis=0))
        else:
            x = x - lr / (n * (1 - prob)) * np.stack([client.grad(x_i) for client, x_i in zip(clients, x, strict=True)])
    return x


def test_every_iteration():
    """All clients take part in all rounds; lr is the paper's rate over the number of clients."""
    n, lam, prob, lr, rounds = 5, 0.8, 0.4, 0.1, 25
    algorithm = pfl.algorithms.l2gd(parity.model(), lam=lam, prob=prob, lr=lr)
    ours = parity.run(algorithm, rounds=rounds, num_clients=n, cohort=n)
    coins = [record["coin"] for record in ours.result.records]
    assert set(coins) == {0.0, 1.0}
    x = l2gd(ours.clients, coins, ours.start, lam, prob, n * lr)
    np.testing.assert_allclose(np.asarray(ours.result.clients.kept.params["w"])[:n], x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.w, x.mean(axis=0), rtol=0, atol=1e-12)
    no_coin = l2gd(ours.clients, [0.0] * rounds, ours.start, lam, prob, n * lr)  # as elsewhere
    assert np.abs(no_coin - x).max() > 1e-2
