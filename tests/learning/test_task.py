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
        ("loss: ssim", "train.loss = 'ssim': .*rmse, mse, mae"),
        ("activation: swish", "train.activation = 'swish': .*relu, leaky_relu"),
        ("normalization: layer", "train.normalization = 'layer': .*none, batch, group"),
        ("initial_weights: zero", "train.initial_weights = 'zero': .*default, xavier"),
        ("schedule: cyclic", "train.schedule = 'cyclic': .*linear, cosine"),
        ("balance: photo", "train.balance = 'photo': .*none, contributor, kind"),
        ("ema: 1", "train.ema = 1: .*less than 1"),
        ("freeze: [0]", r"train.freeze: .*Set train.init: pretrained, or freeze: \[\]"),
        ("{init: pretrained, freeze: [7]}", "train.freeze: there is no level 7; the levels of unet are 0 to 6"),
        ("{init: pretrained, network: basic_cnn, freeze: [4]}", "no level 4; the levels of basic_cnn are 0 to 3"),
        ("unfreeze_after: 3", r"train.unfreeze_after: nothing is frozen. Set train.freeze: \[0\], or"),
        ("{init: pretrained, initial_weights: xavier}", "train.initial_weights: xavier is for random weights. Set"),
        ("{optimizer: adagrad, momentum: 0.9}", "train.momentum: adagrad has none. Set momentum: null, or another"),
        ("{schedule: one_cycle, patience: 3}", "train.patience: 3 would end one_cycle .* Set patience: 0, or another"),
        ("balance_by: loss", "train.balance_by: nothing is balanced. Set train.balance: kind, or balance_by: sampling"),
        ("{balance: kind, overfit: 8}", "train.balance: .* Set balance: none, or overfit: 0"),
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
    (tmp_path / "params.yaml").write_text(f"train: {{{text.strip('{}')}}}", encoding="utf-8")
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


def test_flip_of_train_is_that_of_augment(run):
    for settings in ({"flip": False}, {"augment": {"flip": False}}):
        assert not run(**settings).task.flip
    assert run().task.flip and "flip" not in TrainSettings().model_dump()


def test_a_model_with_another_activation_is_no_start(run):
    known = run(epochs=1).predictor()
    with pytest.raises(
        DepixelError, match=r"train.activation = 'gelu', but .* has relu. Set train.activation: relu, or"
    ):
        run(init=known, activation="gelu")
    with pytest.raises(DepixelError, match=r"train.normalization = 'batch', but .* has none"):
        run(init=known, normalization="batch")


def test_portable_is_float32_on_the_cpu(monkeypatch):
    monkeypatch.setattr(task, "best_device", lambda: "cuda")
    monkeypatch.setattr(task, "best_precision", lambda device: "bfloat16")
    assert task.computed_by(TrainSettings()) == ("cpu", "float32")
    assert task.computed_by(TrainSettings(arithmetic="native")) == ("cuda", "bfloat16")


def test_images_smaller_than_the_areas(run):
    with pytest.raises(DepixelError, match=r"pixelation.width.*24 x 24.*prepare.size"):
        run(pixelation=PixelationSettings(width=(25, 32)))
