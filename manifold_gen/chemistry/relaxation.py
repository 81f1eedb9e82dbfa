"""Molecules brought to the nearest minimum of a semi-empirical quantum energy.

A geometry is as wrong as the energy it gives up and the way it goes until the forces vanish. The energy is GFN2-xTB's,
computed by tblite, for a neutral molecule with as few unpaired electrons as its electron count allows.

tblite runs as many threads as ``OMP_NUM_THREADS`` says when it is loaded; molecules of this size are fastest with one.

Source: Bannwarth, Ehlert and Grimme, *GFN2-xTB*, J. Chem. Theory Comput. 15 (2019), 1652.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from manifold_gen.errors import DataError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from tblite.interface import Calculator, Result

#: Ångström in a bohr and kcal/mol in a hartree (CODATA 2018).
BOHR = 0.529177210903
HARTREE = 627.509474063


@dataclass(frozen=True)
class Relaxation:
    """What a molecule did on its way to the minimum.

    Attributes:
        energy: what it gave up, kcal/mol.
        rmsd: root mean square displacement of all atoms in ångström, after the best rotation and shift.
        evaluations: energies and gradients that were computed.
        positions: ``(n, 3)`` at the minimum, ångström.
    """

    energy: float
    rmsd: float
    evaluations: int
    positions: Tensor


def relax(positions: Tensor, numbers: Tensor, *, force: float = 1e-3, most: int = 300) -> Relaxation:
    """Relax one molecule by BFGS from where it is.

    Args:
        positions: ``(n, 3)`` in ångström.
        numbers: ``(n,)`` atomic numbers, up to 86.
        force: largest component of the gradient at the end, hartree per bohr.
        most: energies and gradients that may be computed.

    Raises:
        MissingExtraError: tblite is not installed.
        UsageError: the shapes do not fit.
        DataError: a coordinate is not finite, the energy cannot be computed, or the forces do not vanish within
            ``most`` evaluations. The message is the reason, without numbers of this molecule, so that failures can be
            counted by it.

    Example:
        >>> hydrogen = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.8]], dtype=torch.float64)
        >>> found = relax(hydrogen, torch.tensor([1, 1]))
        >>> round(float(found.positions.diff(dim=0).norm()), 2), found.energy > 0
        (0.78, True)
    """
    if tuple(positions.shape) != (len(numbers), 3):
        raise UsageError(f"{len(numbers)} atoms need positions ({len(numbers)}, 3), got {tuple(positions.shape)}")
    if not bool(torch.isfinite(positions).all()):
        raise DataError("a coordinate is not finite")
    surface = _Surface(positions.detach().cpu().to(torch.float64).numpy() / BOHR, numbers.cpu().numpy(), most)
    end, given_up = _descend(surface, force)
    relaxed = torch.from_numpy(end.reshape(-1, 3) * BOHR).to(positions)
    return Relaxation(given_up * HARTREE, kabsch_rmsd(positions, relaxed), surface.evaluations, relaxed)


def kabsch_rmsd(x: Tensor, y: Tensor) -> float:
    r"""Root mean square distance of two clouds ``(n, 3)`` after the best shift and proper rotation.

    .. math:: \min_{R \in SO(3),\, t} \Big(\frac1n \sum_i |R x_i + t - y_i|^2\Big)^{1/2}

    Source: Kabsch, Acta Cryst. A 32 (1976), 922.

    >>> x = torch.eye(3)
    >>> kabsch_rmsd(x, x[:, [1, 2, 0]] + 5.0) < 1e-6  # cyclic coordinates: a rotation
    True
    """
    x, y = (points.to(torch.float64) - points.to(torch.float64).mean(0) for points in (x, y))
    u, _, v = torch.linalg.svd(x.mT @ y)
    signs = torch.ones(3, dtype=torch.float64)
    signs[2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(v))
    # From the aligned clouds, not from the squares' difference, which loses half the digits where they nearly agree.
    return float((x @ (u * signs) @ v - y).square().sum(-1).mean().sqrt())


class _Surface:
    """Energy and gradient in atomic units, each from the last one's electrons."""

    def __init__(self, positions: np.ndarray, numbers: np.ndarray, most: int) -> None:
        self.start, self.most, self.evaluations = positions.ravel(), most, 0
        self._calculator = _calculator(positions, numbers)
        self._result: Result | None = None

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if self.evaluations == self.most:
            raise DataError("the forces did not vanish within the evaluations allowed")
        self.evaluations += 1
        try:
            self._calculator.update(x.reshape(-1, 3))
            self._result = self._calculator.singlepoint(self._result)
        except RuntimeError as error:
            raise DataError("the energy cannot be computed: the electrons did not converge") from error
        return self._result.get("energy"), self._result.get("gradient").ravel()


def _calculator(positions: np.ndarray, numbers: np.ndarray) -> Calculator:
    try:
        from tblite.interface import Calculator
    except ImportError as error:
        raise MissingExtraError(
            "relaxation energies need tblite; install it with: pip install 'manifold-gen[molecules]'"
        ) from error
    try:
        calculator = Calculator("GFN2-xTB", numbers, positions, charge=0.0, uhf=int(numbers.sum()) % 2)
    except RuntimeError as error:
        raise DataError("the energy cannot be computed: two atoms at one place, or an unknown element") from error
    calculator.set("verbosity", 0)
    return calculator


def _descend(surface: _Surface, force: float) -> tuple[np.ndarray, float]:
    """The minimum and the energy given up on the way, in atomic units."""
    from scipy.optimize import minimize

    first, gradient = surface(surface.start)
    if np.abs(gradient).max() <= force:
        return surface.start, 0.0
    # The unit matrix, in atomic units, is near enough the curvature of bonds for a first step.
    end = minimize(surface, surface.start, jac=True, method="BFGS", options={"gtol": force})
    if np.abs(end.jac).max() > force:
        raise DataError("the forces did not vanish: the line search found no lower energy")
    return end.x, float(first - end.fun)
