"""What a training costs: the FLOP it could have computed, and the energy it used."""

from __future__ import annotations

import os

from luban.engine.cost import Energy, EnergyMeter, machine_name, peak_flops
from luban.engine.fit import State
from luban.engine.world import World


class CostMeter:
    """Measures one training while it goes on; what it finds is kept in the run state.

    Args:
        state: Of the training; its seconds and run state are read, the latter is written.
        world: The processes that train together.
        precision: Name of the precision of the products; a resumed run may set another.
        flop_per_token: Of training, by the model's formula.
    """

    def __init__(self, state: State, world: World, precision: str, flop_per_token: float) -> None:
        self.precision, self.flop_per_token = precision, flop_per_token
        self._state, self._world = state, world
        self._energy = EnergyMeter()
        self._counted = 0.0  # seconds of training that ``possible_flop`` covers

    @property
    def peak(self) -> float:
        """FLOP/s that the machine reaches, all processes together: measured once, then kept."""
        peaks, world = self._state.run_state.peaks, self._world
        machine = machine_name(world.device, self.precision, world.size)
        if machine not in peaks:
            peaks[machine] = peak_flops(world.device, self.precision) * world.size
        return float(peaks[machine])

    @property
    def mean_peak(self) -> float:
        """FLOP/s that the machines of this training reach, by the seconds spent on each."""
        possible, seconds = self.count_possible(), self._state.seconds
        return float(possible / seconds) if seconds else self.peak

    def resume(self) -> None:
        """Begin to count where the checkpoint that was loaded left off."""
        known = self._state.run_state.possible_flop is not None
        self._counted = self._state.seconds if known else 0.0

    def count_possible(self) -> float:
        """Add the FLOP that the machine could have computed since the last call; return all."""
        kept, seconds = self._state.run_state, self._state.seconds
        possible = (kept.possible_flop or 0.0) + (seconds - self._counted) * self.peak
        kept.possible_flop, self._counted = possible, seconds
        return possible

    def count_energy(self) -> None:
        """Add the energy used since this was last done, over all processes."""
        energy, kept = self._energy.read(), self._state.run_state
        whole = energy.method.startswith("measured")  # one process a machine speaks for all
        counts = not whole or os.environ.get("LOCAL_RANK", "0") == "0"
        (joules,) = self._world.sum(energy.joules if counts else 0.0)
        spent = kept.energy.joules if kept.energy else 0.0
        kept.energy = Energy(spent + joules, energy.method)
        self._energy = EnergyMeter()

    def utilisation(self, positions: int, seconds: float) -> float:
        """Return the share of the peak that training on so many positions reached."""
        return positions * self.flop_per_token / max(seconds, 1e-9) / self.peak
