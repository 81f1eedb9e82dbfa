"""Names: listing, suggesting, options, data sets of one's own."""

import pytest
import torch

from manifold_gen.data import Dataset, Source, list_datasets, load_dataset, register
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import from_spec


def own_set(*, split_seed=0, dtype=torch.float32, size=10):
    """A user's own loader, found by ``module:function``."""
    from manifold_gen.data import Split

    split = Split(torch.zeros(size, 2, dtype=dtype))
    return Dataset(f"own-{split_seed}", from_spec("torus:2"), split, split, split)


def test_every_name_of_the_design_is_there():
    names = {source.name for source in list_datasets()}
    assert {"ramachandran", "volcano", "earthquake", "flood", "fire", "rna"} <= names
    assert {f"protein_{kind}" for kind in ("general", "glycine", "proline", "prepro")} <= names
    assert {f"sidechain_{kind}" for kind in ("lys", "met", "gln", "cys", "cispro")} <= names
    assert {f"so3_mixture_{k}" for k in (16, 32, 64)} <= names
    assert {f"checkerboard_{m}" for m in ("s2", "t2", "so3")} <= names


def test_listing_is_plain_and_complete():
    for source in list_datasets():
        shown = source.to_dict()
        assert from_spec(shown["manifold"]).spec == shown["manifold"]
        assert shown["rows"] > 0
        assert shown["origin"]
        assert shown["licence"]
        assert shown["available"] in (True, False)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'earthquake'") as error:
        load_dataset("earthquakes")
    assert error.value.exit_code == 2


def test_hopeless_name_lists_all():
    with pytest.raises(UsageError, match=r"known are .*ramachandran"):
        load_dataset("zzzzzz")


def test_unknown_option_names_those_there_are():
    with pytest.raises(UsageError, match=r"unexpected keyword argument 'splt'.*options are: split"):
        load_dataset("volcano", splt="published")


def test_own_function(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent))
    data = load_dataset("test_data_registry:own_set", split_seed=3, dtype=torch.float64, size=4)
    assert data.name == "own-3"
    assert data.train.x.dtype == torch.float64
    assert len(data.train) == 4


@pytest.mark.parametrize("name", ["no_such_module:f", "math:no_such_function"])
def test_own_function_that_is_not_there(name):
    with pytest.raises(UsageError, match=r"expected 'package.module:function'"):
        load_dataset(name)


def test_a_taken_name_is_refused():
    with pytest.raises(UsageError, match="registered already"):
        register(Source("ramachandran", "torus:2", 1, "elsewhere", "none", own_set))
