import pytest
import torch

from depixel.base.errors import DepixelError
from depixel.base.settings import read_section
from depixel.learning import task
from depixel.learning.task import TrainSettings
from depixel.model.pixelation import PixelationSettings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network: resnet", r"train.network = 'resnet': .*basic_cnn, unet"),
        ("epochs: 0", "train.epochs = 0: .*greater than 0"),
        ("optimizer: lion", "train.optimizer = 'lion': .*muon.*adam.*sgd"),
        ("learning_rate: fast", "train.learning_rate = 'fast': .*number"),
        ("learning_rate: .inf", "train.learning_rate = inf: .*finite"),
        ("learning_rate: 0", "train.learning_rate = 0: .*greater than 0"),
        ("dropout: 1", "train.dropout = 1: .*less than 1"),
        ("rate: 1", "unknown key train.rate; train has network, width"),
        ("arithmetic: exact", "train.arithmetic = 'exact': .*'portable' or 'native'"),
        ("device: cuda", "train.device: cuda is not portable. Set train.arithmetic: native, or device: cpu"),
        ("precision: bfloat16", "train.precision: bfloat16 is not portable. Set train.arithmetic: native, or .*32"),
    ],
)
def test_settings_are_checked(tmp_path, text, expected):
    (tmp_path / "params.yaml").write_text(f"train: {{{text}}}", encoding="utf-8")
    with pytest.raises(DepixelError, match=expected):
        read_section(tmp_path / "params.yaml", "train", TrainSettings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none(run):
    with pytest.raises(DepixelError, match=r"train.device = 'cuda'.*use auto or cpu"):
        run(device="cuda", arithmetic="native")


def test_settings_of_before_still_work(tmp_path):
    (tmp_path / "params.yaml").write_text("train: {threads: 3}", encoding="utf-8")
    settings = read_section(tmp_path / "params.yaml", "train", TrainSettings)
    assert settings.shards == 3 and settings.arithmetic == "portable"
    assert (settings.model_dump() | {"shards": 2}) == TrainSettings().model_dump()
    (tmp_path / "params.yaml").write_text("train: {shards: 4, threads: 3}", encoding="utf-8")  # as a preset leaves it
    assert read_section(tmp_path / "params.yaml", "train", TrainSettings).shards == 4
    (tmp_path / "params.yaml").write_text("train: {threads: none}", encoding="utf-8")
    with pytest.raises(DepixelError, match=r"train.shards = 'none': .*integer"):
        read_section(tmp_path / "params.yaml", "train", TrainSettings)


def test_portable_is_float32_on_the_cpu(monkeypatch):
    monkeypatch.setattr(task, "best_device", lambda: "cuda")
    monkeypatch.setattr(task, "best_precision", lambda device: "bfloat16")
    assert task.computed_by(TrainSettings()) == ("cpu", "float32")
    assert task.computed_by(TrainSettings(arithmetic="native")) == ("cuda", "bfloat16")


def test_images_smaller_than_the_areas(run):
    with pytest.raises(DepixelError, match=r"pixelation.width.*24 x 24.*prepare.size"):
        run(pixelation=PixelationSettings(width=(25, 32)))
