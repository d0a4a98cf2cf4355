import pytest

torch = pytest.importorskip("torch")

from refsim.exceptions import UsageError  # noqa: E402
from refsim.training.architectures import ARCHITECTURES, build  # noqa: E402

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def shapes(arch: str, **options) -> dict[str, tuple[int, ...]]:
    model = build(arch, **{"input_shape": (3, 32, 32), "classes": 10, **options})
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def official_vgg(widths: list[list[int]], head: list[tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    """Key layout of the official VGG, written out from its description."""
    expected: dict[str, tuple[int, ...]] = {}
    channels = 3
    for stage, outs in enumerate(widths, 1):
        for i, out in enumerate(outs):
            prefix = f"layer{stage}"
            expected[f"{prefix}.{4 * i}.weight"] = (out, channels, 3, 3)
            expected[f"{prefix}.{4 * i}.bias"] = (out,)
            expected |= {
                f"{prefix}.{4 * i + 1}.{key}": () if key == "num_batches_tracked" else (out,) for key in BATCH_NORM
            }
            expected[f"{prefix}.{4 * i + 2}.thresh"] = (1,)
            channels = out
    for i, (features, out) in enumerate(head):
        expected[f"classifier.{1 + 3 * i}.weight"] = (out, features)
        expected[f"classifier.{1 + 3 * i}.bias"] = (out,)
        if i < len(head) - 1:
            expected[f"classifier.{2 + 3 * i}.thresh"] = (1,)
    return expected


VGG = {
    "vgg11": [[64], [128], [256, 256], [512, 512], [512, 512]],
    "vgg13": [[64, 64], [128, 128], [256, 256], [512, 512], [512, 512]],
    "vgg16": [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3],
    "vgg19": [[64, 64], [128, 128], [256] * 4, [512] * 4, [512] * 4],
}


@pytest.mark.parametrize("arch", VGG)
def test_vgg_has_the_keys_and_shapes_of_the_official_code(arch):
    assert shapes(arch) == official_vgg(VGG[arch], [(512, 10)])
    assert shapes(arch, head="4096", classes=100) == official_vgg(VGG[arch], [(512, 4096), (4096, 4096), (4096, 100)])


@pytest.mark.parametrize(
    ("arch", "stages"),
    [
        ("resnet18", [(64, 2), (128, 2), (256, 2), (512, 2)]),
        ("resnet20", [(16, 3), (32, 3), (64, 3)]),
        ("resnet34", [(64, 3), (128, 4), (256, 6), (512, 3)]),
    ],
)
def test_resnet_has_the_keys_and_shapes_of_the_official_code(arch, stages):
    expected: dict[str, tuple[int, ...]] = {}

    def batch_norm(prefix: str, out: int) -> None:
        expected.update({f"{prefix}.{key}": () if key == "num_batches_tracked" else (out,) for key in BATCH_NORM})

    channels = stages[0][0]
    expected["conv1.0.weight"] = (channels, 3, 3, 3)
    batch_norm("conv1.1", channels)
    expected["conv1.2.thresh"] = (1,)
    for number, (out, n_blocks) in enumerate(stages, 2):
        for block in range(n_blocks):
            prefix = f"conv{number}_x.{block}"
            expected[f"{prefix}.residual_function.0.weight"] = (out, channels, 3, 3)
            batch_norm(f"{prefix}.residual_function.1", out)
            expected[f"{prefix}.residual_function.2.thresh"] = (1,)
            expected[f"{prefix}.residual_function.3.weight"] = (out, out, 3, 3)
            batch_norm(f"{prefix}.residual_function.4", out)
            if channels != out:
                expected[f"{prefix}.shortcut.0.weight"] = (out, channels, 1, 1)
                batch_norm(f"{prefix}.shortcut.1", out)
            expected[f"{prefix}.act.thresh"] = (1,)
            channels = out
    expected |= {"fc.weight": (10, channels), "fc.bias": (10,)}
    assert shapes(arch) == expected


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("activation", ["relu", "nq"])
def test_every_network_maps_a_batch_to_logits(arch, activation):
    model = build(arch, input_shape=(1, 32, 32), classes=7, activation=activation)
    model.eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 7)


def test_the_small_network_fits_in_180_kilobytes_of_float32():
    model = build("small", input_shape=(1, 28, 28), classes=10)
    assert 4 * sum(parameter.numel() for parameter in model.parameters()) < 180_000


def test_the_shortcut_is_empty_where_the_shape_does_not_change():
    model = build("resnet20", input_shape=(1, 32, 32), classes=10)
    assert [len(block.shortcut) for block in model.conv3_x] == [2, 0, 0]


def test_images_too_small_for_the_pools_of_a_vgg_are_refused():
    with pytest.raises(UsageError, match=r"5 halvings need images of at least 32 x 32, got \(28, 28\)"):
        build("vgg16", input_shape=(1, 28, 28), classes=10)
