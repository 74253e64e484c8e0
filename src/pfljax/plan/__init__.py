"""Who trains when: plain integers, computed on the host before the device needs them."""

from pfljax.plan.hold_out import hold_out
from pfljax.plan.plan import Plan, Planner, Sampler

__all__ = ["Plan", "Planner", "Sampler", "hold_out"]
