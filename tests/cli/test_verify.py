"""`refsim verify` finds what differs, and says where."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from refsim.formats.weights.hdf5 import load, save
from tests.cli.conftest import Call


def test_a_good_file_passes_every_check(refsim: Call, weights: Path) -> None:
    done = refsim("verify", "-w", weights)
    assert done.code == 0
    assert "checksum ok" in done.out
    assert "golden replay ok   if, T=3, 6 images" in done.out
    assert "golden replay ok   dual, T=3, 6 images" in done.out
    assert done.out.count("engine == specification ok") == 2


def test_json_says_what_was_compared(refsim: Call, weights: Path) -> None:
    report = json.loads(refsim("verify", "-w", weights, "--limit", 3, "-T", 2, "--json").out)
    assert [(each["neuron"], each["images"], each["T"]) for each in report["specification"]] == [
        ("if", 3, 2),
        ("dual", 3, 2),
    ]
    assert all(each["spikes"] > 0 for each in report["golden"])


@pytest.mark.parametrize("what", ["counts_pos", "logits"])
def test_a_wrong_golden_result_ends_with_4_and_its_place(
    refsim: Call, weights: Path, tmp_path: Path, what: str
) -> None:
    file = load(weights)
    golden = file.golden[0]
    if what == "logits":
        logits = golden.logits.copy()
        logits[1, 4, 2] += 2**-40
        golden = replace(golden, logits=logits)
        place = "readout, t=2, image 4, class 2"
    else:
        counts = dict(golden.counts_pos) | {"if2": golden.counts_pos["if2"].copy()}
        counts["if2"][2, 3] += 1
        golden = replace(golden, counts_pos=counts)
        place = "layer 'if2', t=3, image 3"
    save(tmp_path / "wrong.h5", file.network, samples=file.samples, golden=[golden])
    done = refsim("verify", "-w", tmp_path / "wrong.h5")
    assert done.code == 4
    assert place in done.err


def test_a_changed_file_fails_its_checksum_until_it_is_resealed(refsim: Call, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.h5"
    shutil.copy(weights, path)
    with h5py.File(path, "r+") as file:
        file["layers/conv1/bias"][0] += 1
    done = refsim("verify", "-w", path)
    assert done.code == 3
    assert "content_sha256" in done.err
    assert refsim("verify", "-w", path, "--reseal").code == 0
    # The seal is good again; the golden results still know the file as it was.
    done = refsim("verify", "-w", path)
    assert done.code == 4
    assert "golden result (if, T=3, float64): layer 'if1'" in done.err


def test_an_engine_that_differs_from_the_specification_is_named(
    refsim: Call, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import refsim.engine.stages as stages

    honest = stages.run_spiking

    def forgetful(
        tiles: object, synapses: object, events: object, neurons: object, room: object, positive: object, *rest: object
    ) -> object:
        finite = honest(tiles, synapses, events, neurons, room, positive, *rest)
        positive[0, 0, 0, 1, 0] ^= 1  # type: ignore[index]
        return finite

    file = load(weights)
    save(weights.with_name("no_golden.h5"), file.network, samples=file.samples)
    monkeypatch.setattr(stages, "run_spiking", forgetful)
    done = refsim("verify", "-w", weights.with_name("no_golden.h5"))
    assert done.code == 4
    assert "engine and specification differ (if, T=4, sample 0): layer 'if1'" in done.err


def test_verify_needs_no_hypothesis(weights: Path) -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None; from refsim.cli import main; "
        f"main(['verify', '-w', {str(weights)!r}, '--limit', '1'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("engine == specification ok")) == (0, 2)


def test_reseal_needs_a_named_file(refsim: Call) -> None:
    done = refsim("verify", "--reseal")
    assert done.code == 2
    assert "--reseal changes a file; name it with --weights" in done.err


def test_a_large_network_is_compared_on_as_many_samples_as_a_minute_allows(weights: Path) -> None:
    from refsim.analysis.macs import network_macs
    from refsim.verification import verify

    file = load(weights)
    macs = sum(each.dense for each in network_macs(file.network).values())
    assert verify.affordable(file, [4]) == verify.MOST_IMAGES
    steps = int(verify.MINUTE / macs / 2 / 2.5)
    assert verify.affordable(file, [steps]) == 2
    assert verify.affordable(file, [steps, 100 * steps]) == 1


def test_threads_and_progress_change_nothing_that_is_said(refsim: Call, weights: Path) -> None:
    one, two = (json.loads(refsim("verify", "-w", weights, "--threads", n, "--limit", 3, "--json").out) for n in (1, 2))
    for report in (one, two):
        for each in report["specification"]:
            assert each.pop("seconds") > 0
    assert one == two
