"""pfl-research: SimulatedBackend and FederatedAveraging on torch; one of WORLD_SIZE processes."""

import importlib.metadata
import os
import time

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel

from peers import torch_models
from peers.contestant import Runner, serve
from peers.work import Work

WORLD = int(os.environ.get("WORLD_SIZE", 1))


class Module(torch_models.Network):
    """The network with the method that pfl asks for besides `loss`."""

    @torch.no_grad()
    def metrics(self, x, y):
        return {"loss": Weighted(float(self.loss(x, y)) * len(y), len(y))}


class Turns(TrainingProcessCallback):
    """Whose turn it is: the schedule's clients in order. Ranks may draw one too many at a round's end."""

    def __init__(self, schedule):
        self.schedule, self.round, self.place = schedule, 0, 0

    def __call__(self) -> int:
        self.place += 1
        place = self.round * self.schedule.shape[1] + self.place - 1
        return int(self.schedule.flat[place % self.schedule.size])  # pfl may draw far ahead

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        self.round, self.place = self.round + 1, 0
        return False, Metrics()


def prepare(work: Work, threads: int) -> Runner:
    if work.inner_lr:
        raise NotImplementedError("pfl has Reptile, no MAML")
    torch.set_num_threads(max(1, threads // WORLD))
    network = torch_models.fill(Module(work.model), work.params)
    model = PyTorchModel(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), lr=1.0))
    x, y = torch_models.inputs(work.arrays["x"]), torch.from_numpy(work.arrays["y"]).long()
    bounds = list(zip(work.offsets[:-1], work.offsets[1:], strict=True))
    datasets = [Dataset([x[i:j], y[i:j]], user_id=str(c)) for c, (i, j) in enumerate(bounds)]
    turns = Turns(work.schedule)
    # With several processes and unequal clients pfl balances by these weights, drawing cohorts ahead in yet another.
    is_ragged = work.steps.min() != work.steps.max()
    weights = dict(enumerate(work.steps.tolist())) if is_ragged and WORLD > 1 else None
    users = FederatedDataset(datasets.__getitem__, turns, weights)
    weighting = [WeightByDatapoints()] if work.weighting == "examples" else []
    backend = SimulatedBackend(users, users, postprocessors=weighting)
    local = NNTrainHyperParams(local_num_epochs=work.epochs, local_learning_rate=work.lr, local_batch_size=work.batch)
    algorithm, cohort = FederatedAveraging(), work.schedule.shape[1]

    def run(first, count):
        rounds = NNAlgorithmParams(
            central_num_iterations=first + count,
            evaluation_frequency=10**9,  # it evaluates in iteration 0, which compiles in others
            train_cohort_size=cohort,
            val_cohort_size=0,
        )
        begin = time.perf_counter()
        algorithm.run(rounds, backend, model, local, callbacks=[turns], send_metrics_to_platform=False)
        return count, time.perf_counter() - begin

    @torch.no_grad()
    def loss():
        return float(network.loss(x, y))

    note = "does not shuffle: a client's batches are the same in every epoch, cut once and kept"
    return Runner(run, lambda: torch_models.named(network), loss, note)


if __name__ == "__main__":
    serve(prepare, lambda: {name: importlib.metadata.version(name) for name in ("pfl", "torch")})
