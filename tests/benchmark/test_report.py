"""The report: what is marked, what never wins, what is said of speed; escaping; files that cannot be read."""

from __future__ import annotations

import json
import math

import fake_results
import pytest

from manifold_gen.benchmark.published import MARKS, PUBLISHED, published
from manifold_gen.benchmark.report import compose, write_report
from manifold_gen.benchmark.report.claims import claims
from manifold_gen.benchmark.report.document import BEST, INVALID, NEAR, Details, Gallery, Paragraph, Table
from manifold_gen.benchmark.report.markdown import plain
from manifold_gen.benchmark.report.results import by_data, read_results
from manifold_gen.benchmark.report.speed import likelihood_ratio, likelihood_settling, sampling_ratio, settling
from manifold_gen.benchmark.report.statistics import best_rows, difference, summarise
from manifold_gen.benchmark.report.tables import cost_table, published_table, quality_table
from manifold_gen.errors import DataError

FLOW, DISTILLED, RIVAL = "free-form-flow", "free-form-flow-distilled", "flow-matching"


def results_of(tmp_path, values, data="earthquake", **told):
    """The data set's results where ``values`` are NLLs of methods over seeds, or records' arguments."""
    records = []
    for method, seeds in values.items():
        for seed, given in enumerate(seeds):
            cell = fake_results.fake_cell(data, method, seed)
            given = given if isinstance(given, dict) else {"nll": given}
            records.append((cell, fake_results.fake_record(cell, **{**told, **given})))
    fake_results.write(tmp_path, *records)
    return by_data(read_results(tmp_path))[0]


def nll_column(table):
    """Entries of the first metric by method."""
    return {row.entries[0].text: row.entries[2] for row in table.rows if not row.kind}


# ---- statistics -------------------------------------------------------------------------------------------------


def test_seeds_are_summarised():
    found = summarise({0: (1.0, 9.0), 1: (2.0, 9.0), 2: (6.0, 9.0)})
    assert (found.mean, found.count) == (3.0, 3)
    assert found.sd == pytest.approx(math.sqrt(7))  # ((−2)² + (−1)² + 3²) / 2
    assert found.se == pytest.approx(math.sqrt(7 / 3))
    assert summarise({}) is None


def test_a_difference_is_paired_so_that_the_split_cancels():
    a = {seed: (level + 0.1, 5.0) for seed, level in enumerate([1.0, -3.0, 8.0])}
    b = {seed: (level, 5.0) for seed, level in enumerate([1.0, -3.0, 8.0])}
    found = difference(a, b)
    assert found.mean == pytest.approx(0.1)
    assert found.se == pytest.approx(0.0, abs=1e-12)
    # so the worse of the two is told apart, though deviations over seeds are fifty times as large
    assert best_rows([a, b], lambda value: value) == (1, set())


def test_fewer_seeds_never_win():
    full = {0: (1.0, 0.1), 1: (9.0, 0.1)}
    assert best_rows([full, {0: (0.5, 0.1)}], lambda value: value) == (0, set())


# ---- tables -----------------------------------------------------------------------------------------------------


def test_the_best_is_marked_and_an_invalid_one_never_is(tmp_path):
    fault = {"nll": -5.0, "faults": ["9 of 611 points have no preimage, at most 1 may"]}
    data = results_of(
        tmp_path, {FLOW: [fault, -5.0], RIVAL: [0.2, 1.2], "diffusion": [0.21, 1.19], "moser-flow": [0.5, 1.6]}
    )
    found = nll_column(quality_table(data))
    assert found["free-form flow"].look == INVALID
    assert found["free-form flow"].remark == "invalid at 1 of 2 seeds: 9 of 611 points have no preimage, at most 1 may"
    assert {found["flow matching"].look, found["diffusion"].look} == {BEST, NEAR}
    assert found["Moser flow"].look == ""


def test_what_has_no_likelihood_or_no_number_shows_a_dash(tmp_path):
    data = results_of(tmp_path, {"flow-map": [0.0], RIVAL: [{"nll": None, "faults": ["the integral is not known"]}]})
    found = nll_column(quality_table(data))
    assert (found["flow map"].text, found["flow map"].look) == ("–", "")
    assert (found["flow matching"].text, found["flow matching"].look) == ("–", INVALID)


def test_a_teacher_of_half_the_time_stands_beside_and_is_not_compared(tmp_path):
    student = fake_results.fake_cell("earthquake", DISTILLED, 0)
    rival = fake_results.fake_cell("earthquake", RIVAL, 0)
    cells = [(student, 1.0), (student.teacher, 0.0), (rival, 2.0)]
    fake_results.write(tmp_path, *((cell, fake_results.fake_record(cell, nll=nll)) for cell, nll in cells))
    data = by_data(read_results(tmp_path))[0]
    found = nll_column(quality_table(data))
    assert {name: entry.look for name, entry in found.items()} == {
        "free-form flow, distilled": BEST,
        "flow matching (60 s)": "",
        "flow matching (30 s)": "",
    }
    assert data.of(RIVAL).results[0].spec["seconds"] == 60.0


def test_references_stand_below(tmp_path):
    table = quality_table(results_of(tmp_path, {FLOW: [0.5]}))
    rows = {row.entries[0].text: [entry.text for entry in row.entries[1:]] for row in table.rows if row.kind}
    assert "2.531" in rows["uniform density"]  # log 4π
    assert "0.040 (0.020)" in rows["training points in place of samples"]


def test_costs_are_in_microseconds_and_name_the_evaluations(tmp_path):
    table = cost_table(results_of(tmp_path, {FLOW: [0.5], RIVAL: [0.5]}))
    rows = {row.entries[0].text: row.entries[1:] for row in table.rows}
    assert [entry.text for entry in rows["free-form flow"][:5]] == ["1", "4.00", "4.00", "100", "83,590"]
    assert (rows["flow matching"][0].text, rows["flow matching"][2].remark) == ("128", "at 64")


def test_published_numbers_carry_their_marks(tmp_path):
    table = published_table(results_of(tmp_path, {FLOW: [0.5]}, data="protein_general", manifold="torus:2"))
    shown = {row.entries[0].text: [entry.text for entry in row.entries[2:]] for row in table.rows}
    assert shown["M-FFF (Sorrenson et al. 2023)"] == ["1.03 [unverified]", "–"]
    assert shown["flow matching, independent re-run"] == ["1.022 ± 0.021 [V]", "–"]
    assert shown["generalised flow map, Lagrangian"] == ["–", "0.02 [S]"]
    assert {number.mark for number in PUBLISHED} == set(MARKS)
    volcano = {number.method: number.value for number in published("volcano") if number.metric == "nll"}
    assert volcano["flow matching (Chen & Lipman 2023)"] == -7.93
    # a published log-likelihood is turned into our sign: the computed density is 3.683 − log K
    for count in (16, 32, 64):
        exact = next(n.value for n in published(f"so3_mixture_{count}") if n.mark == "C")
        assert exact == pytest.approx(math.log(count) - 3.683, abs=1e-3)


# ---- claims -----------------------------------------------------------------------------------------------------


def claim(data):
    """The first row of the claims' table, as texts with looks."""
    table = next(block for block in claims([data]) if isinstance(block, Table))
    return table.rows[0].entries


@pytest.mark.parametrize(
    ("own", "verdict", "look"),
    [
        ([0.1, 0.9], "yes", ""),
        ([0.25, 1.17], "undecided", ""),
        ([0.4, 1.41], "no", ""),
        ([{"nll": -9.0, "faults": ["the density integrates to 3.000 ± 0.001"]}, 0.9], "no", INVALID),
    ],
    ids=["below", "within error", "above", "invalid"],
)
def test_a_likelihood_is_at_or_below_the_rivals_or_not(tmp_path, own, verdict, look):
    entries = claim(results_of(tmp_path, {FLOW: own, RIVAL: [0.2, 1.2]}))
    assert (entries[4].text, entries[3].look) == (verdict, look)


def test_the_best_few_step_rival_is_met(tmp_path):
    maps = {"flow-map": [{"mmd": 0.09}], "mean-flow": [{"mmd": 0.05}], "flow-map-distilled": [{"mmd": 0.07}]}
    entries = claim(results_of(tmp_path, {FLOW: [{"mmd": 0.06}], **maps}))
    assert entries[7].text == "MeanFlow"
    assert entries[5].text.startswith("+0.010 ± ")


def test_evaluations_at_which_quality_settles(tmp_path):
    mmd = {
        k: fake_results.pair(value, 0.01)
        for k, value in zip(("1", "2", "4", "8"), (0.3, 0.08, 0.05, 0.05), strict=True)
    }
    group = results_of(tmp_path, {RIVAL: [0.5]}).of(RIVAL)
    group.results[0].record["metrics"]["mmd"] = mmd
    # 0.08 − 0.05 is above 5 % of 0.3 − 0.05
    assert (settling(group).evaluations, settling(group).exact) == (4, True)
    mmd["4"] = fake_results.pair(0.2, 0.01)
    assert (settling(group).evaluations, settling(group).exact) == (8, False)


def test_noise_of_a_small_test_split_is_not_taken_for_more_evaluations(tmp_path):
    group = results_of(tmp_path, {RIVAL: [0.5]}).of(RIVAL)
    found = dict(zip((1, 2, 4, 8, 16, 32, 64), (0.312, 0.335, 0.25, 0.291, 0.295, 0.266, 0.249), strict=True))
    group.results[0].record["metrics"]["mmd"] = {str(k): fake_results.pair(v, 0.05) for k, v in found.items()}
    # the last three are 0.27 ± 0.023: all but two evaluations are within 0.046 of them
    assert settling(group).evaluations == 4


def test_evaluations_at_which_a_likelihood_settles(tmp_path):
    group = results_of(tmp_path, {RIVAL: [0.5, 0.7]}).of(RIVAL)
    # 256 / 16⁴ = 0.004 nats from the limit, 256 / 8⁴ = 0.06
    assert (likelihood_settling(group).evaluations, likelihood_settling(group).exact) == (16, True)
    by_evaluations = group.results[0].record["metrics"]["likelihood_by_evaluations"]
    by_evaluations["32"]["nll"] += 0.03
    assert likelihood_settling(group).evaluations == 64
    by_evaluations["64"]["nll"] -= 0.03
    assert (likelihood_settling(group).evaluations, likelihood_settling(group).exact) == (128, False)
    by_evaluations["64"]["nll"] = None
    assert likelihood_settling(group) is None


def test_speed_ratios(tmp_path):
    data = results_of(tmp_path, {FLOW: [0.5], RIVAL: [0.5]})
    assert sampling_ratio(data.of(FLOW), data.of(RIVAL), 16) == pytest.approx(16)  # 4 µs an evaluation on both sides
    assert likelihood_ratio(data.of(FLOW), data.of(RIVAL), 16) == pytest.approx(6.4)  # 640 to 100 µs
    assert [entry.text for entry in claim(data)[8:]] == ["8", "8.00×", "16", "6.40×"]
    data.of(RIVAL).results[0].record["metrics"].pop("likelihood_by_evaluations")  # of a file from before there was any
    assert [entry.text for entry in claim(data)[8:]] == ["8", "8.00×", "default", "50.0×"]


# ---- the whole --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    fake_results.fill(folder, data=("earthquake", "ramachandran", fake_results.NASTY), methods=(FLOW, DISTILLED, RIVAL))
    page, text = write_report(folder, folder / "out")
    return folder, page.read_text(), text.read_text()


@pytest.fixture(scope="module")
def document(written):
    return compose(read_results(written[0]), written[0])


def test_nothing_shown_is_read_as_markup(written):
    _, page, text = written
    assert "<script" not in page
    assert "&lt;script&gt;fetch(&#x27;x&#x27;)&lt;/script&gt;|a &amp; `b` *c*" in page
    outside = text.split("## Specification of every cell")[0]  # listings are fenced
    assert "<script" not in outside
    assert plain(fake_results.NASTY) in outside
    tables = [line for line in outside.splitlines() if line.startswith("|")]
    cells = [len(line.replace("\\|", "").split("|")) for line in tables if "fetch" in line]
    assert cells
    assert set(cells) <= {len(line.split("|")) for line in tables if set(line) <= set("|-: ")}


def test_the_page_stands_alone_and_the_text_has_its_pictures(written):
    folder, page, text = written
    assert [word for word in ("http:", "https:", '<link rel="stylesheet', "@import", "url(") if word in page] == []
    names = sorted(path.name for path in (folder / "out" / "report-figures").iterdir())
    assert "data-01-evaluations.svg" in names
    assert [name for name in names if f"(report-figures/{name})" not in text] == []
    assert page.count('src="data:image/') == len(names)


def test_the_overview_names_what_ran_and_what_failed(written, document):
    folder, _, text = written
    results = read_results(folder)
    assert "3 failed" in text
    assert "DivergenceError: the loss is nan" in text
    assert results[0].record["commit"][:12] in text
    details = [block for block in document.blocks if isinstance(block, Details)]
    assert len(details) == len(results)
    assert {json.loads(block.listing)["hash"] for block in details} == {result.record["hash"] for result in results}


def test_truth_is_beside_the_methods_where_the_data_are_here(document):
    galleries = [block for block in document.blocks if isinstance(block, Gallery)]
    captions = [image.caption for gallery in galleries for image in gallery.images]
    assert "truth: exact density" in captions  # ramachandran's
    assert any("invalid" in caption for caption in captions)


def test_one_report_is_written_the_same_twice(written):
    folder, page, text = written
    again = write_report(folder, folder / "again")
    assert [path.read_text() for path in again] == [page, text]


def test_a_cell_alone_and_a_folder_of_failures_are_reports(tmp_path):
    cell = fake_results.fake_cell("earthquake", FLOW, 0)
    fake_results.write(tmp_path, (cell, fake_results.failed_record(cell, "it broke", fake_results.Place())))
    _, text = write_report(tmp_path, tmp_path)
    assert "it broke" in text.read_text()
    assert not any(
        isinstance(block, Paragraph) and "paired" in block.text for block in claims(by_data(read_results(tmp_path)))
    )


# ---- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 7, "package": "9.1"}, "schema version 7"),
        ({"metrics": None}, "no result of a cell: 'metrics' is NoneType"),
        ({"spec": {}}, "'data' is missing"),
    ],
    ids=["another version", "without metrics", "without a specification"],
)
def test_a_file_that_is_no_result_is_told_in_one_line(tmp_path, change, words):
    cell = fake_results.fake_cell("earthquake", FLOW, 0)
    fake_results.write(tmp_path, (cell, {**fake_results.fake_record(cell), **change}))
    with pytest.raises(DataError, match=words):
        write_report(tmp_path, tmp_path)


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match=r"holds no result file; run a benchmark first: manifold-gen benchmark earth"):
        write_report(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
