"""A Flower client: one epoch of SGD on the rows that it is told, as in Flower's PyTorch quick start."""

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.utils.data import DataLoader, TensorDataset

from peers import torch_models
from peers import work as works

app = ClientApp()


@lru_cache(maxsize=1)
def the_work(folder: str) -> works.Work:
    torch.set_num_threads(1)  # an actor has one core
    return works.load(Path(folder))


@cache
def rows(folder: str, row: int) -> TensorDataset:
    """A client's rows, converted when it first trains."""
    work = the_work(folder)
    begin, end = work.offsets[row : row + 2]
    x, y = (np.array(work.arrays[name][begin:end]) for name in ("x", "y"))
    return TensorDataset(torch_models.inputs(x), torch.from_numpy(y).long())


@app.train()
def train(message: Message, context) -> Message:
    told = message.content["config"]
    work, data = the_work(told["folder"]), rows(told["folder"], told["row"])
    network = torch_models.Network(work.model)
    network.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(network.parameters(), lr=work.lr)
    for _ in range(work.epochs):
        for x, y in DataLoader(data, batch_size=work.batch, shuffle=True):
            optimizer.zero_grad()
            network.loss(x, y).backward()
            optimizer.step()
    weight = len(data) if work.weighting == "examples" else 1
    metrics = MetricRecord({"num-examples": weight})
    content = RecordDict({"arrays": ArrayRecord(network.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)
