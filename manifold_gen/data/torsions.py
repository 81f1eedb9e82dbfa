"""Torsion angles of nucleotides and side chains: tori of three to seven dimensions."""

from __future__ import annotations

from functools import partial

import torch

from manifold_gen.data import draws
from manifold_gen.data.assemble import assemble
from manifold_gen.data.base import Dataset
from manifold_gen.data.formats import make_format
from manifold_gen.data.locations import RemoteFile, fetch
from manifold_gen.data.registry import Source
from manifold_gen.data.tables import Table, read_table
from manifold_gen.manifolds.torus import Torus

_FFF = (
    "https://raw.githubusercontent.com/vislearn/FFF/02db8ec7e1a8cf87bd311893e1a24f4b0eb646d8/fff/data/raw_data/torus/"
)
_RNA = RemoteFile(
    "rna/aggregated_angles.tsv",
    _FFF + "rna.tsv",
    "189183ca25bd45c8a7578d3c1cd8a555b5139bb1ab0ac1a0bd25672be19badf7",
)
_RNA_COLUMNS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "chi"]
_RNA_ORIGIN = "RNA backbone torsions, Murray et al. 2003, as published with vislearn/FFF"
_RNA_LICENCE = "PDB data CC0; the file is from a repository under MIT"

_TOP8000 = (
    "https://raw.githubusercontent.com/rlabduke/reference_data/cbe300663a2bb55015cf9e9978c720cb12dbf52f/"
    "Top8000/Top8000_filtered_residues_rotarama/srcdata/"
)
_TOP8000_ORIGIN = "Top8000 filtered residues, Richardson laboratory, rlabduke/reference_data"
_TOP8000_LICENCE = "CC BY 4.0"
# residue: rows, number of chi angles, sha256
_RESIDUES = {
    "cispro": (2780, 3, "ef3f4c33d13c1aa5838a261b9f2dbf36005c84f72926de227770b13c2f910912"),
    "cys": (16_767, 1, "c590f9380042894297854c19c59ed051a69a560ee2560b90087de743699bf71c"),
    "gln": (37_152, 3, "778d9fd1e3e8ba01eb97bc50f0976395561664422618b13cca0a05a201242aaa"),
    "lys": (34_860, 4, "cbd814e6eea436adbfeb50e20eb6a0cd4d1eb1e32c37fc709c5212b57d29fa3c"),
    "met": (18_417, 3, "62347f09079daf2008624dfbe396dad2847dd9ada8778096a21913f7eefcb31f"),
}


def torsion_dataset(
    name: str,
    table: Table,
    columns: list[str],
    info: dict[str, object],
    *,
    split_seed: int,
    dtype: torch.dtype,
) -> Dataset:
    """The data set of some columns of a table, in degrees of any range."""
    points = table.numbers(columns)
    fmt = make_format(f"torus:{len(columns)}", columns=columns, units="degrees")
    info = {**info, "split_seed": split_seed, "format": fmt.to_dict()}
    index = draws.split_index(len(points), split_seed)
    decoded = fmt.decode(points, dtype=torch.float64)
    return assemble(name, Torus(len(columns)), decoded, index, dtype=dtype, info=info)


def load_rna(*, split_seed: int = 0, dtype: torch.dtype = torch.float32) -> Dataset:
    """Seven torsions α β γ δ ε ζ χ of 9,478 nucleotides, T⁷."""
    table = read_table(fetch(_RNA), columns=["pdb", "base", *_RNA_COLUMNS])
    info = {"origin": _RNA_ORIGIN, "licence": _RNA_LICENCE, "sha256": _RNA.sha256}
    return torsion_dataset("rna", table, _RNA_COLUMNS, info, split_seed=split_seed, dtype=dtype)


def load_sidechain(residue: str, *, split_seed: int = 0, dtype: torch.dtype = torch.float32) -> Dataset:
    """φ, ψ and the side-chain angles χ of one residue type in the Top8000 structures."""
    _, chis, sha256 = _RESIDUES[residue]
    header = ["residue", "phi", "psi", "chi1", "chi2", "chi3", "chi4", "bond_angle", "cbeta_deviation"]
    table = read_table(fetch(_sidechain_file(residue)), columns=header)
    info = {"origin": _TOP8000_ORIGIN, "licence": _TOP8000_LICENCE, "sha256": sha256}
    return torsion_dataset(
        f"sidechain_{residue}", table, header[1 : 3 + chis], info, split_seed=split_seed, dtype=dtype
    )


def _sidechain_file(residue: str) -> RemoteFile:
    name = f"rota8000-{residue}.csv"
    return RemoteFile(f"top8000/sidechain/{name}", _TOP8000 + name, _RESIDUES[residue][2])


SOURCES = (
    Source("rna", "torus:7", 9478, _RNA_ORIGIN, _RNA_LICENCE, load_rna, (_RNA.place,)),
    *(
        Source(
            f"sidechain_{residue}",
            f"torus:{2 + chis}",
            rows,
            _TOP8000_ORIGIN,
            _TOP8000_LICENCE,
            partial(load_sidechain, residue),
            (_sidechain_file(residue).place,),
        )
        for residue, (rows, chis, _) in _RESIDUES.items()
    ),
)
