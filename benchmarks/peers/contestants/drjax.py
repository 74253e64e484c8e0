"""drjax: FedAvg in its primitives, jitted, the clients' axis sharded over one CPU device per core."""
