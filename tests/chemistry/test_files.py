"""Molecule files: what is read, what is left out and why, and that what is written is read again, here and by RDKit."""

import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from manifold_gen.chemistry import Molecules, element_number, element_symbol, read_molecules, write_molecules
from manifold_gen.chemistry.elements import SYMBOLS, sum_formula
from manifold_gen.chemistry.sdf import parse_sdf
from manifold_gen.chemistry.xyz import parse_xyz
from manifold_gen.errors import DataError, MissingExtraError, RunFolderError, UsageError

HF = "2\n\nH 0 0 0\nF 0 0 0.92\n"
WATER = "3\nwater energy=-76.4 charge=0\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n"


def rdkit_molecule(smiles):
    """A relaxed conformation, so that its distances are those of the bonds."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=7)
    AllChem.MMFFOptimizeMolecule(mol)
    return mol


def points(mol):
    positions = torch.tensor(mol.GetConformer().GetPositions(), dtype=torch.float64)
    return positions, torch.tensor([atom.GetAtomicNum() for atom in mol.GetAtoms()])


def block(smiles, **options):
    return Chem.MolToMolBlock(rdkit_molecule(smiles), **options) + "$$$$\n"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def three():
    """Ethanol, hydrogen cyanide and acetylene with two properties."""
    joined = Molecules.join([points(rdkit_molecule(smiles)) for smiles in ("CCO", "C#N", "C#C")])
    properties = {"mu": torch.tensor([1.5, 0.0, -2.25e-7]), "gap": torch.tensor([0.1, 12345.678, 3.0])}
    return Molecules(joined.positions, joined.numbers, joined.sizes, properties)


def left_out(path):
    """What is read, and the one warning about the rest."""
    with pytest.warns(UserWarning, match="left out") as caught:
        molecules = read_molecules(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return molecules, str(caught[0].message)


def test_symbols_are_those_of_rdkit():
    table = Chem.GetPeriodicTable()
    assert [table.GetElementSymbol(z) for z in range(1, 119)] == list(SYMBOLS)
    assert all(element_number(element_symbol(z)) == z for z in range(1, 119))
    for wrong in ("Xx", "", "0", "119", "D", "²"):
        with pytest.raises(DataError, match="unknown element"):
            element_number(wrong)
    for number in (0, -1, 119):
        with pytest.raises(DataError, match="1 to 118"):
            element_symbol(number)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".xyz", 6e-7), (".sdf", 6e-5)])
def test_written_molecules_read_back(tmp_path, three, suffix, tolerance):
    path = tmp_path / f"m{suffix}"
    write_molecules(path, three)
    back = read_molecules(path, dtype=torch.float64)
    assert torch.equal(back.sizes, three.sizes)
    assert torch.equal(back.numbers, three.numbers)
    assert float((back.positions - three.positions).abs().max()) < tolerance
    assert back.positions.dtype == torch.float64
    assert list(back.properties) == ["mu", "gap"]
    for name, values in three.properties.items():
        assert torch.equal(back.properties[name].float(), values)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_rdkit_reads_the_written_sdf_with_its_bonds(tmp_path, three):
    path = tmp_path / "m.sdf"
    write_molecules(path, three)
    read = list(Chem.SDMolSupplier(str(path), removeHs=False))
    assert [Chem.MolToSmiles(Chem.RemoveHs(mol)) for mol in read] == ["CCO", "C#N", "C#C"]
    assert [mol.GetConformer().Is3D() for mol in read] == [True] * 3
    assert [mol.GetProp("_Name") for mol in read] == ["1", "2", "3"]
    assert read[1].GetDoubleProp("gap") == pytest.approx(12345.678, rel=1e-6)
    for mol, (positions, numbers) in zip(read, three, strict=True):
        found, elements = points(mol)
        assert torch.equal(elements, numbers)
        assert float((found - positions).abs().max()) < 6e-5


def test_given_bonds_are_written_in_place_of_those_of_the_distances(tmp_path, three):
    single = three[[2]]
    bonds = [torch.zeros(4, 4, dtype=torch.int8)]
    for i, j, order in ((0, 1, 2), (0, 2, 1), (1, 3, 1)):
        bonds[0][i, j] = bonds[0][j, i] = order
    write_molecules(tmp_path / "m.sdf", single, bonds)
    (mol,) = Chem.SDMolSupplier(str(tmp_path / "m.sdf"), removeHs=False)
    assert mol.GetBondBetweenAtoms(0, 1).GetBondType() == Chem.BondType.DOUBLE
    with pytest.raises(UsageError, match="expected \\(n, n\\) of each of 1"):
        write_molecules(tmp_path / "m.sdf", single, [torch.zeros(3, 3)])


def test_smiles_of_the_bonds(tmp_path, three):
    path = tmp_path / "m.smi"
    write_molecules(path, three)
    assert path.read_text() == "CCO 1\nC#N 2\nC#C 3\n"
    back = read_molecules(path)
    assert back.sizes.tolist() == three.sizes.tolist()
    assert [sorted(z.tolist()) for _, z in back] == [sorted(z.tolist()) for _, z in three]


def test_smiles_neither_complete_nor_repair_a_molecule(tmp_path):
    """Ethane without one hydrogen is a radical; a carbon with six hydrogens is no molecule."""
    positions, numbers = points(rdkit_molecule("CC"))
    shell = torch.cat([torch.zeros(1, 3), torch.eye(3), -torch.eye(3)]).double() * 1.09
    broken = (shell, torch.tensor([6, 1, 1, 1, 1, 1, 1]))
    path = tmp_path / "m.smi"
    with pytest.warns(UserWarning, match=r"1 of 2 molecules left out \(molecule 1: .*valence.*6"):
        write_molecules(path, Molecules.join([broken, (positions[:-1], numbers[:-1])]))
    assert path.read_text() == "[CH2]C 2\n"


def test_molecules_without_a_place_are_left_out_and_named(tmp_path, three):
    positions = three.positions.clone()
    positions[0, 0] = torch.nan
    for suffix in (".sdf", ".xyz"):
        path = tmp_path / f"m{suffix}"
        spoilt = Molecules(positions, three.numbers, three.sizes)
        with pytest.warns(UserWarning, match=r"1 of 3 molecules left out \(molecule 1: its coordinates are not finite"):
            write_molecules(path, spoilt)
        assert read_molecules(path).sizes.tolist() == three.sizes.tolist()[1:]
        with pytest.raises(DataError, match="none of the 1 molecules can be written"):
            write_molecules(tmp_path / f"none{suffix}", spoilt[[0]])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.sdf", "m.xyz"]


def test_what_cannot_be_written_says_why(tmp_path, three):
    with pytest.raises(UsageError, match=r"ends in '.pdb'; molecules are written to .sdf, .xyz, .smi"):
        write_molecules(tmp_path / "m.pdb", three)
    sulphide = Molecules.join([(torch.eye(3), torch.tensor([16, 1, 1]))])
    with pytest.raises(DataError, match=r"needs bonds.*write \.xyz"):
        write_molecules(tmp_path / "m.sdf", sulphide)
    long = Molecules.join([(torch.arange(3000.0).reshape(-1, 3), torch.ones(1000, dtype=torch.int64))])
    with pytest.raises(UsageError, match=r"1000 atoms.*up to 999"):
        write_molecules(tmp_path / "m.sdf", long, [torch.zeros(1000, 1000, dtype=torch.int8)])
    write_molecules(tmp_path / "m.xyz", sulphide)
    before = (tmp_path / "m.xyz").read_text()
    with pytest.raises(RunFolderError, match="nothing there was changed"):
        write_molecules(tmp_path / "m.xyz" / "m.xyz", three)
    assert (tmp_path / "m.xyz").read_text() == before


def test_xyz_frames_with_their_comments_numbers_and_blank_lines(tmp_path):
    path = write(tmp_path / "m.xyz", f"\n{WATER}\n\n2\n17\n1 0 0 0 0.5 extra\n9 0 0 9.2e-1\n{WATER}")
    molecules = read_molecules(path)
    assert molecules.sizes.tolist() == [3, 2, 3]
    assert molecules.numbers.tolist() == [8, 1, 1, 1, 9, 8, 1, 1]
    assert molecules.positions[4].tolist() == pytest.approx([0, 0, 0.92])
    assert molecules.properties == {}
    assert read_molecules(write(path, WATER + WATER)).properties["energy"].tolist() == pytest.approx([-76.4, -76.4])


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("2\n\nH 0 0 0\nXx 0 0 1\n", "unknown element 'Xx'"),
        ("3\n\nH 0 0 0\nF 0 0 1\n", "its first line says 3 atoms and 2 lines of atoms follow"),
        ("1\n\nH 0 0 0\nF 0 0 1\n", "its first line says 1 atoms and 2 lines of atoms follow"),
        ("2\n\nH 0 0 0\nF nan 0 1\n", "the coordinates of atom 2 are NaN or infinite"),
        ("2\n\nH 0 0 0\nF inf 0 1\n", "the coordinates of atom 2 are NaN or infinite"),
        ("2\n\nH 0 0 0\nF x 0 1\n", "the coordinates of atom 2 are 'x 0 1'; expected three numbers"),
        ("2\n\nH 0 0 0\nF 0 1\n", "atom 2 reads 'F 0 1'; expected: symbol x y z"),
        ("2\n\nH 1 1 1\nF 1 1 1\n", "all 2 atoms have the same coordinates"),
        ("1\n\nHe 0 0 0\n", "a single atom has no shape to learn"),
        ("0\n\n", "it has no atoms"),
        ("2\ncharge=1\nH 0 0 0\nHe 0 0 1\n", "its net charge is [+]1; the models know neutral molecules only"),
    ],
)
def test_a_bad_frame_is_named_and_the_others_load(tmp_path, frame, reason):
    molecules, message = left_out(write(tmp_path / "m.xyz", HF + frame + WATER))
    assert molecules.sizes.tolist() == [2, 3]
    assert f"1 of 3 records left out (record 2: {reason.replace('[+]', '+')}" in message
    with pytest.raises(DataError, match=f"none of the 1 records can be used \\(record 1: {reason}"):
        read_molecules(write(tmp_path / "bad.xyz", frame))


def test_text_before_the_first_frame_is_a_broken_record(tmp_path):
    molecules, message = left_out(write(tmp_path / "m.xyz", f"some words\n{HF}"))
    assert len(molecules) == 1
    assert "record 1: it begins with 'some words'; expected the number of atoms" in message


def test_many_bad_records_are_counted_and_the_first_ones_told(tmp_path):
    _, message = left_out(write(tmp_path / "m.xyz", HF + "1\n\nH 0 0 0\n" * 9))
    assert "9 of 10 records left out" in message
    assert "record 6: " in message
    assert "record 7: " not in message
    assert "and 4 more" in message


@pytest.mark.parametrize("v3000", [False, True])
def test_sdf_of_another_writer(tmp_path, v3000):
    """Elements and coordinates as RDKit, which wrote them, reads them; charges that cancel are no charge."""
    names = ["CCO", "C[N+](=O)[O-]", "ClCS", "[CH3]"]
    path = write(tmp_path / "m.sdf", "".join(block(name, forceV3000=v3000) for name in names))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        molecules = read_molecules(path, dtype=torch.float64)
    expected = [points(mol) for mol in Chem.SDMolSupplier(str(path), removeHs=False)]
    for (positions, numbers), (own, elements) in zip(molecules, expected, strict=True):
        assert torch.equal(numbers, elements)
        assert torch.equal(positions, own)


def damaged(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


ETHANOL = block("CCO")
V3000 = block("CO", forceV3000=True)
BAD_SDF = {
    "too few counted": (damaged(ETHANOL, "  9  8  0", "  8  8  0"), "bond 1 reads '"),
    "more atoms than lines": (damaged(ETHANOL, "  9  8  0", " 90  8  0"), "its counts are 90 atoms and 8 bonds; only"),
    "fewer, no bonds": (damaged(ETHANOL, "  9  8  0", "  8  0  0"), "its counts are 8 atoms and 0 bonds; then follows"),
    "no count": (damaged(ETHANOL, "  9  8  0", "  x  8  0"), "it has 'x' where a whole number is expected"),
    "unknown element": (damaged(ETHANOL, " O   0", " Xx  0"), "unknown element 'Xx'"),
    "cut off": (damaged(ETHANOL, "M  END\n", ""), "it is cut off: there is no line 'M  END'"),
    "not numbers": (damaged(ETHANOL, ETHANOL.splitlines()[4][:10], "     1.2.3"), "the coordinates of atom 1 are '"),
    "bond to nowhere": (damaged(ETHANOL, "  1  2  1  0", "  1 22  1  0"), "bond 1 reads '1 22  1  0', whose atoms"),
    "words": ("This is not\na molecule.\n$$$$\n", "it ends before its fourth line"),
    "nothing": ("$$$$\n", "it ends before its fourth line"),
    "drawing": (damaged(ETHANOL, "3D", "2D"), "it is a drawing in two dimensions"),
    "ammonium": (block("[NH4+]"), "its net charge is +1; the models know neutral molecules only"),
    "chloride, V3000": (block("[Cl-].CO", forceV3000=True), "its net charge is -1"),
    "charge code": (damaged(ETHANOL, " O   0  0", " O   0  5"), "its net charge is -1"),
    "single atom": (block("[He]"), "a single atom has no shape to learn"),
    "V3000 cut": (damaged(V3000, "M  V30 END ATOM\n", ""), "its atom block is missing"),
    "V3000 count": (
        damaged(V3000, "COUNTS 6", "COUNTS 7"),
        "its counts are 7 atoms and 6 lines",
    ),
}


@pytest.mark.parametrize("case", BAD_SDF)
def test_a_bad_record_is_named_and_the_others_load(tmp_path, case):
    text, reason = BAD_SDF[case]
    molecules, message = left_out(write(tmp_path / "m.sdf", block("CO") + text + block("C#N")))
    assert molecules.sizes.tolist() == [6, 3]
    assert f"1 of 3 records left out (record 2: {reason}" in message


@pytest.mark.parametrize(("parse", "text"), [(parse_sdf, ETHANOL), (parse_sdf, V3000), (parse_xyz, WATER.strip())])
def test_no_damage_leads_to_another_error(parse, text):
    """Characters replaced, taken out or doubled, and lines taken out: a record, or a reason why there is none."""
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(400):
        damage = list(text)
        for place in rng.integers(len(text), size=3):
            damage[place] = rng.choice(["", " ", "\n", "9", "-", "x", "é", damage[place] * 2])
        lines = "".join(damage).split("\n")
        kept = [line for line in lines if rng.random() > 0.01]
        try:
            parse("\n".join(kept))
        except DataError:
            refused += 1
    assert 40 < refused < 400


def test_nan_and_equal_coordinates_in_sdf(tmp_path):
    lines = ETHANOL.splitlines()
    flat = [f"{0:10.4f}{0:10.4f}{0:10.4f}{line[30:]}" if 4 <= i < 13 else line for i, line in enumerate(lines)]
    lines[4] = f"{'nan':>10}{lines[4][10:]}"
    text = "".join("\n".join([*part, ""]) for part in (lines, flat))
    _, message = left_out(write(tmp_path / "m.sdf", ETHANOL + text))
    assert "record 2: the coordinates of atom 1 are NaN or infinite; record 3: all 9 atoms have the same" in message


def test_windows_line_ends_and_a_missing_last_separator(tmp_path):
    path = tmp_path / "m.sdf"
    path.write_bytes((ETHANOL + ETHANOL.removesuffix("$$$$\n")).replace("\n", "\r\n").encode())
    assert read_molecules(path).sizes.tolist() == [9, 9]


def test_data_that_are_not_numbers_or_not_in_every_record_are_no_properties(tmp_path):
    data = ">  <name>\nethanol\n\n>  <mu>  (1)\n1.25\n\n>  <gap>\nnan\n\n>  <lines>\n1\n2\n\n"
    more = ">  <alpha>\n3\n\n"
    records = [ETHANOL.replace("$$$$", data + "$$$$"), ETHANOL.replace("$$$$", data + more + "$$$$")]
    properties = read_molecules(write(tmp_path / "m.sdf", "".join(records))).properties
    assert {name: values.tolist() for name, values in properties.items()} == {"mu": [1.25, 1.25]}


def test_smiles_get_hydrogens_and_the_same_conformation_every_time(tmp_path):
    path = write(tmp_path / "m.smi", "# alcohols\nCCO ethanol\n\nCO\n")
    molecules, again = read_molecules(path), read_molecules(path)
    assert molecules.sizes.tolist() == [9, 6]
    assert torch.equal(molecules.positions, again.positions)
    alone = read_molecules(write(tmp_path / "one.smi", "CO\n"))
    assert torch.equal(alone.positions, molecules[[1]].positions)
    distance = float((alone.positions[0] - alone.positions[1]).norm())
    assert distance == pytest.approx(1.42, abs=0.05)


def test_bad_smiles_are_named_and_the_others_load(tmp_path, capfd):
    lines = ["CO", "C1CC", "C(C)(C)(C)(C)C", "C.C", "[NH4+]", "[He]", "CC"]
    molecules, message = left_out(write(tmp_path / "m.smiles", "\n".join(lines)))
    assert molecules.sizes.tolist() == [6, 8]
    for part in (
        "record 2: 'C1CC' is not a SMILES",
        "record 3: 'C(C)(C)(C)(C)C': Explicit valence",
        "record 4: 'C.C' is more than one molecule",
        "record 5: its net charge is +1",
        "record 6: a single atom",
    ):
        assert part in message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".sdf", ".xyz", ".smi"])
def test_files_with_nothing_in_them(tmp_path, suffix):
    with pytest.raises(DataError, match=r"cannot be read: No such file or directory; check the path"):
        read_molecules(tmp_path / f"none{suffix}")
    for text in ("", " \n\n"):
        with pytest.raises(DataError, match="is empty; expected molecules"):
            read_molecules(write(tmp_path / f"m{suffix}", text))


def test_other_files(tmp_path):
    with pytest.raises(UsageError, match=r"ends in '.pdb'; molecules are read from .sdf, .mol, .xyz"):
        read_molecules(tmp_path / "m.pdb")
    with pytest.raises(DataError, match="holds no molecules"):
        read_molecules(write(tmp_path / "m.smi", "# only a comment\n"))
    (tmp_path / "folder.sdf").mkdir()
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_molecules(tmp_path / "folder.sdf")
    (tmp_path / "binary.sdf").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(DataError, match="none of the 1 records can be used"):
        read_molecules(tmp_path / "binary.sdf")


def test_without_rdkit_smiles_say_what_to_install_and_the_rest_works(tmp_path):
    """In a process of its own, where RDKit cannot be imported."""
    script = textwrap.dedent("""
        import sys
        sys.modules["rdkit"] = None
        from manifold_gen.chemistry import read_molecules, write_molecules
        from manifold_gen.errors import MissingExtraError
        molecules = read_molecules("m.xyz")
        write_molecules("m.sdf", molecules)
        assert read_molecules("m.sdf").sizes.tolist() == [3]
        for work in (lambda: read_molecules("m.smi"), lambda: write_molecules("n.smi", molecules)):
            try:
                work()
            except MissingExtraError as error:
                print(error)
    """)
    write(tmp_path / "m.xyz", WATER)
    write(tmp_path / "m.smi", "CCO\n")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'manifold-gen[molecules]'") == 2
    assert not (tmp_path / "n.smi").exists()


def test_missing_rdkit_is_no_broken_record(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rdkit"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="SMILES need RDKit"):
        read_molecules(write(tmp_path / "m.smi", "CCO\nCO\n"))


def test_sum_formulae_are_in_hills_order():
    assert sum_formula([1, 8, 6, 9, 7, 1, 6]) == "C2H2FNO"
    assert sum_formula([8, 1, 1]) == "H2O"  # without carbon all by name
