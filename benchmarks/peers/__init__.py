"""The same federated work in several simulators, each in its own environment. See ../peers.py."""
