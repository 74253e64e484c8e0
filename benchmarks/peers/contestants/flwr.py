"""Flower's simulation: FedAvg over messages, clients as Ray actors with one core each."""

import importlib.metadata
import os
import time

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from peers import torch_models
from peers.contestant import Runner, serve
from peers.contestants.flwr_client import app as client_app
from peers.work import Work


class Scheduled(FedAvg):
    """FedAvg whose nodes are told which of the schedule's clients they stand for in each round."""

    def __init__(self, folder: str, cohorts):
        super().__init__(fraction_evaluate=0.0)
        self.folder, self.cohorts = folder, cohorts

    def configure_train(self, server_round, arrays, config, grid):
        cohort = self.cohorts[server_round - 1]
        while len(nodes := sorted(grid.get_node_ids())) < len(cohort):
            time.sleep(0.1)
        for node, row in zip(nodes, cohort, strict=True):
            told = ConfigRecord({"folder": self.folder, "row": int(row)})
            content = RecordDict({"arrays": arrays, "config": told})
            yield Message(content=content, message_type=MessageType.TRAIN, dst_node_id=node)


def prepare(work: Work, threads: int) -> Runner:
    if work.inner_lr:
        raise NotImplementedError("flwr ships no MAML; its fedmeta baseline is first order in effect")
    torch.set_num_threads(threads)
    network = torch_models.fill(torch_models.Network(work.model), work.params)
    resources = {"init_args": {"num_cpus": threads}, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}}

    def simulate(cohorts) -> list[float]:
        """When each round was over, round 0 being the start."""
        over = []

        def done(server_round, arrays):
            over.append(time.perf_counter())
            network.load_state_dict(arrays.to_torch_state_dict())

        server = ServerApp()

        @server.main()
        def main(grid, context):
            arrays = ArrayRecord(network.state_dict())
            Scheduled(work.folder, cohorts).start(grid, arrays, num_rounds=len(cohorts), evaluate_fn=done)

        run_simulation(server, client_app, num_supernodes=len(cohorts[0]), backend_config=resources)
        if len(over) != len(cohorts) + 1:
            raise RuntimeError(f"the simulation ended after {len(over) - 1} of {len(cohorts)} rounds; its log says why")
        return over

    def run(first, count):
        if first == 0:
            over = simulate(work.schedule[:count])
            return count, over[-1] - over[0]
        # A simulation starts its actors in its first round: the round before is trained again and not counted.
        over = simulate(work.schedule[first - 1 : first + count])
        return count, over[-1] - over[1]

    @torch.no_grad()
    def loss():
        return float(network.loss(torch_models.inputs(work.arrays["x"]), torch.from_numpy(work.arrays["y"]).long()))

    note = "every run is a simulation of its own, whose first round, with its actors' start, is not counted; as many "
    note += "nodes as the cohort has clients, each told whose rows to train on"
    return Runner(run, lambda: torch_models.named(network), loss, note)


if __name__ == "__main__":
    serve(prepare, lambda: {name: importlib.metadata.version(name) for name in ("flwr", "ray", "torch")})
