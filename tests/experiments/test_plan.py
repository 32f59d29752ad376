import pytest

from depixel.base.errors import DepixelError
from depixel.experiments.plan import Interval, Plan, parse

pytest.importorskip("optuna", reason="Optuna is not installed: `pip install optuna`")


def test_settings_are_read_as_dvc_reads_them():
    read = ["a.b=1", "a.c=1,x", "a.d=range(1,8,3)", "a.e=[1,2],[3,4]", "a.f=interval(1e-4,1)", "a.g=interval(1,5)"]
    assert parse(read) == {
        "a.b": ["1"],
        "a.c": ["1", "x"],
        "a.d": ["1", "4", "7"],
        "a.e": ["[1,2]", "[3,4]"],
        "a.f": Interval(1e-4, 1, whole=False),
        "a.g": Interval(1, 5, whole=True),
    }
    assert Interval(1e-4, 1, whole=False).distribution().log and not Interval(1, 5, whole=True).distribution().log


def test_a_grid_is_all_combinations_and_names_tell_what_varies(inside):
    plan = Plan("grid", ["train.epochs=2", "train.width=16,32", "pixelation.width=[4,8],[4,32]"])
    assert plan.grid[0] == ("train.epochs=2", "train.width=16", "pixelation.width=[4,8]") and len(plan.grid) == 4
    assert [plan.called(settings) for settings in plan.grid][:2] == [
        "grid-train.width=16-pixelation.width=4_8",
        "grid-train.width=16-pixelation.width=4_32",
    ]
    plan = Plan("list", ["train.seed=1,2"], ["train.width=16", "train.dropout=0.5"])
    assert [plan.called(settings) for settings in plan.grid] == [
        "list-seed=1-width=16",
        "list-seed=2-width=16",
        "list-seed=1-dropout=0.5",
        "list-seed=2-dropout=0.5",
    ]
    assert plan.epochs == 4
    assert Plan("grid", ["train.epochs=10,20"]).epochs == 10
    plan = Plan("search", ["train.learning_rate=interval(1e-5,1e-2)"], trials=3)
    assert plan.settings({"train.learning_rate": 0.000123456}) == ("train.learning_rate=0.000123",)


@pytest.mark.parametrize(
    ("settings", "alike", "prunable"),
    [
        ("train.width=8,16", True, True),
        ("train.epochs=10,20", True, False),
        ("train.overfit=8,16", False, False),
        ("pixelation.block_size=[4,8],[4,16]", False, False),
        ("split.seed=1,2", False, False),
    ],
)
def test_only_what_is_validated_alike_is_compared(inside, settings, alike, prunable):
    plan = Plan("name", [settings, "train.dropout=0,0.1"])
    assert (plan.alike, plan.prunable) == (alike, prunable)
    plan = Plan("name", ["train.dropout=0,0.1", settings.split(",")[0] if "[" not in settings else "train.seed=1"])
    assert plan.alike and plan.prunable  # the same for all


@pytest.mark.parametrize(
    ("settings", "options", "told"),
    [
        (["train.widht=1,2"], {}, "unknown key train.widht"),
        (["train.width=16,0"], {}, "params.yaml with train.width=0: train.width = 0"),
        (["train.learning_rate=interval(-1,1)"], {"trials": 3}, "train.learning_rate = -1"),
        (["train.width=16"], {}, "nothing varies"),
        (["train.width"], {}, "-S train.width: cannot be read"),
        (["+train.width=1,2"], {}, "section.key=value"),
        (["width=1,2"], {}, "such as train.width"),
        (["train.width=interval(8,64)"], {}, "--trials N"),
        (["train.width=interval(64,8)"], {"trials": 3}, "the lower one first"),
        (["train.width=8,16"], {"trials": 3, "variants": ["train.seed=1"]}, "a list of experiments runs completely"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(inside, settings, options, told):
    with pytest.raises(DepixelError) as error:
        Plan("name", settings, **options)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["", "a/b", "../a", "-a", "a..b", "a.lock"])
def test_a_name_must_be_one_of_git(inside, name):
    with pytest.raises(DepixelError, match="a sweep's name has letters"):
        Plan(name, ["train.width=8,16"])
