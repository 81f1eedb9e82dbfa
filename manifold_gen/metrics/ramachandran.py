"""Shares of backbone torsions in MolProbity's favoured and allowed regions."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from manifold_gen.data.locations import RemoteFile, fetch
from manifold_gen.errors import DataError, UsageError
from manifold_gen.metrics.base import Estimate, share_estimate

FAVOURED = 0.02
BINS = 180
_HOME = (
    "https://raw.githubusercontent.com/rlabduke/reference_data/cbe300663a2bb55015cf9e9978c720cb12dbf52f/"
    "Top8000/Top8000_ramachandran_pct_contour_grids/"
)


@dataclass(frozen=True)
class Grid:
    """The reference of one residue class: its file, the sha256 of that, and the least value of the allowed region."""

    name: str
    sha256: str
    allowed: float

    @property
    def file(self) -> RemoteFile:
        """Where the grid lies in the data folder and at its source."""
        name = f"rama8000-{self.name}.data"
        return RemoteFile(f"top8000/ramachandran/{name}", _HOME + name, self.sha256)


RESIDUE_CLASSES = {
    "general": Grid("general-noGPIVpreP", "ccdbc6a201ca2510119e77b0dd169ca2cdea7f2c9ed348555a3b1129f8c2b00a", 0.0005),
    "glycine": Grid("gly-sym", "89c75a5ac036ff3309c51b46a2412f30137827abaff4606209ed41e04fcba637", 0.001),
    "proline": Grid("transpro", "092b4c0bcd2fe846a063000c83d13cbe62ff43b2dafd67ecb8a47042cce747ec", 0.001),
    "pre-proline": Grid("prepro-noGP", "1cc10b92911d47ca775f0a8131a029b42634dbe26364cece4cfdc8c85b9c3fab", 0.001),
    "isoleucine-valine": Grid(
        "ileval-nopreP", "567e1318128a50b8f44362427bf717d564749936d22d5dbfd34e5b0c17819276", 0.001
    ),
    "cis-proline": Grid("cispro", "143a3004668baefaf6749bd9c2acbe829d3b1a93059c74ba766b04f1e00f43ab", 0.002),
}


def ramachandran_shares(phi_psi: Tensor, residue_class: str = "general") -> tuple[Estimate, Estimate]:
    """Shares of angle pairs in the favoured and in the allowed region of their residue class, with binomial errors.

    The reference gives for each bin of 2° the fraction of well-ordered residues in bins at most as dense: favoured is
    0.02 and above, allowed 0.0005 (general), 0.001 (the others) or 0.002 (cis-proline) and above. The allowed region
    holds the favoured one. A pair takes the value of its bin, without interpolation.

    Args:
        phi_psi: φ and ψ ``(N, 2)`` in radians, of any period.
        residue_class: a key of ``RESIDUE_CLASSES``; proline is the trans form.

    Returns:
        The favoured and the allowed share. Put those of the test data beside them: they are not exactly 0.98 and
        0.9995 where the data are not the reference's.

    Raises:
        UsageError: an unknown class, another shape.
        DataError: angles that are not finite; the grid's file is missing or altered.

    Source: Williams et al., Protein Science 27, 2018, 293 (Top8000); Lovell et al., Proteins 50, 2003, 437.
    """
    if phi_psi.dim() != 2 or phi_psi.shape[1] != 2 or not len(phi_psi):
        raise UsageError(f"phi_psi has shape {tuple(phi_psi.shape)}; expected (N, 2) with N ≥ 1, in radians")
    if not bool(torch.isfinite(phi_psi).all()):
        raise DataError("phi_psi holds angles that are not finite; remove those rows knowingly, they are no outliers")
    grid = reference_grid(residue_class)
    bins = _bin(phi_psi.detach().cpu().to(torch.float64))
    value = grid[bins[:, 0], bins[:, 1]]
    return share_estimate(value >= FAVOURED), share_estimate(value >= RESIDUE_CLASSES[residue_class].allowed)


def reference_grid(residue_class: str) -> Tensor:
    """``(180, 180)`` float64 values of the reference; axis 0 is φ, axis 1 ψ, lower bin edges −180°, −178°, … 178°.

    Bins that the file leaves out are empty: 0.

    Raises:
        UsageError: an unknown class.
        DataError: the file is missing or altered.
    """
    if residue_class not in RESIDUE_CLASSES:
        raise UsageError(f"no residue class is called {residue_class!r}; known are {', '.join(RESIDUE_CLASSES)}")
    return _read(str(fetch(RESIDUE_CLASSES[residue_class].file)))


@functools.lru_cache(maxsize=len(RESIDUE_CLASSES))
def _read(path: str) -> Tensor:
    rows = torch.from_numpy(np.loadtxt(path, comments="#", dtype=np.float64))
    grid = torch.zeros(BINS, BINS, dtype=torch.float64)
    bins = _bin(rows[:, :2] * (math.pi / 180))
    grid[bins[:, 0], bins[:, 1]] = rows[:, 2]
    return grid


def _bin(angles: Tensor) -> Tensor:
    return torch.floor((angles + math.pi) * (BINS / (2 * math.pi))).to(torch.int64) % BINS
