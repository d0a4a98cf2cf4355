"""The weight file: what is saved is what is loaded, through the real reader process."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from refsim.exceptions import FormatError, NetworkError, RefsimError
from refsim.formats.untrusted import reader
from refsim.formats.weights.hdf5 import Samples, load, reseal, save
from refsim.formats.weights.writer import CHUNK_BYTES, chunk_shape
from refsim.model import InputSpec, Layer, Linear, Network, Neuron, Spiking

from .support import (
    assert_same,
    edited,
    load_bytes,
    run_here,
    tiny_bytes,
    tiny_golden,
    tiny_network,
    tiny_samples,
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.h5"
    path.write_bytes(tiny_bytes())
    return path


def test_a_saved_network_is_loaded_unchanged(tmp_path: Path) -> None:
    golden = (tiny_golden(), tiny_golden("dual", 3))
    digest = save(tmp_path / "net.h5", tiny_network(), samples=tiny_samples(), golden=golden)
    file = load(tmp_path / "net.h5")
    assert_same(file.network, tiny_network())
    assert_same(file.samples, tiny_samples())
    assert_same(file.golden, golden)
    assert file.sha256 == digest
    assert file.warnings == ()


def test_a_network_without_samples_golden_and_classes_is_enough(tmp_path: Path) -> None:
    network = tiny_network()
    bare = Network(name="bare", input=network.input, layers=network.layers)
    save(tmp_path / "net.h5", bare)
    file = load(tmp_path / "net.h5")
    assert_same(file.network, bare)
    assert file.samples is None
    assert file.golden == ()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a.h5", tiny_network())
    save(tmp_path / "b.h5", tiny_network())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_loaded_arrays_can_be_written_without_changing_the_file(tiny: Path) -> None:
    weight = load(tiny).network.layers[0].weight
    weight[:] = 0
    assert np.any(load(tiny).network.layers[0].weight)


def test_the_file_is_plain_hdf5_for_every_other_tool(tiny: Path) -> None:
    with h5py.File(tiny) as file:
        assert file.attrs["format"] == b"refsim-network"
        weight = file["layers/conv2/weight"]
        assert weight.fletcher32
        assert weight.compression is None
        assert weight.dtype == np.float32
        assert h5py.check_string_dtype(file["classes"].dtype).length is not None


def test_save_replaces_a_file_or_leaves_it_alone(tiny: Path) -> None:
    before = tiny.read_bytes()
    with pytest.raises(FormatError, match=r"tiny\.h5:/samples/labels: labels must lie in \[0, 4\), got 0 to 9"):
        save(tiny, tiny_network(), samples=Samples(images=tiny_samples().images, labels=np.array([0, 9, 1])))
    assert tiny.read_bytes() == before
    save(tiny, tiny_network())
    assert tiny.read_bytes() != before
    assert [path.name for path in tiny.parent.iterdir()] == ["tiny.h5"]


def test_a_full_disk_leaves_the_old_file_and_no_litter(tiny: Path) -> None:
    # In a process of its own: the limit would hold for the whole test run.
    script = (
        "import resource, signal, sys; from refsim.formats.weights.hdf5 import load, save; file = load(sys.argv[1]);"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000));"
        "save(sys.argv[1], file.network)"
    )
    before = tiny.read_bytes()
    result = subprocess.run([sys.executable, "-c", script, tiny], capture_output=True, text=True)
    assert "OSError" in result.stderr
    assert tiny.read_bytes() == before
    assert os.listdir(tiny.parent) == ["tiny.h5"]


def test_save_obeys_the_umask_as_any_other_program(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save(tmp_path / "net.h5", tiny_network())
    assert (tmp_path / "net.h5").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_edited_file_is_refused_until_it_is_resealed(tiny: Path) -> None:
    with h5py.File(tiny, "r+") as file:
        file["layers/fc/bias"][1] = 7.0
    with pytest.raises(FormatError, match=r"tiny\.h5:/: content_sha256 is [0-9a-f]{16}\.\.\., the content has"):
        load(tiny)
    digest = reseal(tiny)
    file = load(tiny)
    assert file.sha256 == digest
    assert file.network.layers[-1].bias[1] == 7.0


def test_resealing_an_untouched_file_changes_nothing_in_it(tiny: Path) -> None:
    before = load(tiny)
    assert reseal(tiny) == before.sha256
    assert_same(load(tiny).network, before.network)


def test_big_endian_arrays_are_accepted_and_converted() -> None:
    def swap(file: h5py.File) -> None:
        weight = file["layers/conv2/weight"][:]
        del file["layers/conv2/weight"]
        file["layers/conv2"].create_dataset("weight", data=weight.astype(">f4"), chunks=weight.shape, fletcher32=True)

    # The digest is that of little-endian bytes, so it still fits.
    file = load_bytes(edited(swap))
    assert file.network.layers[2].weight.dtype == np.dtype("<f4")
    assert_same(file.network, tiny_network())


def test_contiguous_and_compact_arrays_are_accepted() -> None:
    def relayout(file: h5py.File) -> None:
        for key in ("layers/conv2/weight", "layers/fc/weight"):
            data = file[key][:]
            del file[key]
            file.create_dataset(key, data=data)

    assert_same(load_bytes(edited(relayout)).network, tiny_network())


def test_a_null_terminated_or_space_padded_string_is_read_as_such() -> None:
    def repad(file: h5py.File) -> None:
        for key, pad in (("method", h5py.h5t.STR_NULLTERM), ("license", h5py.h5t.STR_SPACEPAD)):
            text = file.attrs[key]
            del file.attrs[key]
            kind = h5py.h5t.C_S1.copy()
            kind.set_size(9)
            kind.set_strpad(pad)
            fill = b"\0junk" if pad == h5py.h5t.STR_NULLTERM else b"     "
            space = h5py.h5s.create(h5py.h5s.SCALAR)
            attribute = h5py.h5a.create(file.id, key.encode(), kind, space)
            attribute.write(np.array((text + fill)[:9], dtype="S9"), mtype=kind)

    assert load_bytes(edited(repad)).network.metadata["license"] == "CC0"
    assert load_bytes(edited(repad)).network.metadata["method"] == "qcfs"


def test_large_arrays_travel_in_several_chunks(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(3, 300_000))
    network = Network(
        name="wide",
        input=InputSpec(shape=(3, 1000, 100)),
        layers=(Linear(name="fc", inputs=("input",), weight=weight, bias=np.zeros(3)),),
    )
    assert chunk_shape(weight.shape, 8) == (1, 150_000)
    assert CHUNK_BYTES >= 150_000 * 8
    save(tmp_path / "wide.h5", network)
    assert_same(load(tmp_path / "wide.h5").network, network)


def test_metadata_is_cleaned_on_the_way_in(tmp_path: Path) -> None:
    network = tiny_network()
    rough = Network(
        name="a\x1b[31mb",
        input=network.input,
        layers=network.layers,
        metadata={"license": "line\nline", "source": "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe"},
    )
    save(tmp_path / "net.h5", rough)
    loaded = load(tmp_path / "net.h5").network
    assert loaded.name == r"a\x1b[31mb"
    assert loaded.metadata == {"license": r"line\x0aline", "source": r"\u202egnp.exe"}


@pytest.mark.parametrize("name", ["a/b", "", "tab\t", "esc\x1b[0m", "\N{RIGHT-TO-LEFT OVERRIDE}", ".", "x" * 256])
def test_layer_names_that_cannot_be_stored_are_refused_on_save(tmp_path: Path, name: str) -> None:
    network = tiny_network()
    layers = (replace(network.layers[0], name=name), replace(network.layers[1], inputs=(name,)), *network.layers[2:])
    with pytest.raises((FormatError, NetworkError), match="name"):
        save(tmp_path / "net.h5", replace(network, layers=layers))
    assert not list(tmp_path.iterdir())


def test_metadata_may_not_take_the_format_s_own_names(tmp_path: Path) -> None:
    network = tiny_network()
    taken = Network(name="x", input=network.input, layers=network.layers, metadata={"format": "mine"})
    with pytest.raises(FormatError, match="metadata must not be called format"):
        save(tmp_path / "net.h5", taken)


def test_a_reader_process_that_dies_is_one_clear_line(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for boot, text in (
        ("import os; os.kill(os.getpid(), 11)", r"tiny\.h5: the reader process was killed by SIGSEGV"),
        ("raise SystemExit(3)", r"tiny\.h5: the reader process failed with status 3"),
        ("pass", r"tiny\.h5: the reader process gave no usable answer"),
        ("import os, sys; os.write(int(sys.argv[2]), b'x' * 99)", "no usable answer"),
        (
            "import os; os.kill(os.getpid(), 9)",
            r"killed by SIGKILL; the machine is out of memory, or the file is damaged",
        ),
    ):
        monkeypatch.setattr(reader, "_BOOT", boot)
        with pytest.raises(FormatError, match=text):
            load(tiny)


def test_a_reader_that_computes_for_too_long_is_stopped_by_its_cpu_time(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from refsim.formats.untrusted import child, policy;"
        "child.CPU_SECONDS = 1; policy.walk = lambda *_, **__: all(iter(lambda: 1, 0));"
        "child.main(int(sys.argv[2]), sys.argv[3])"
    )
    monkeypatch.setattr(reader, "_BOOT", boot)
    with pytest.raises(FormatError, match=r"tiny\.h5: took more than 20 s of CPU time to read; the file is damaged or"):
        load(tiny)


def test_a_reader_that_waits_is_no_sign_of_a_bad_file(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Like a machine on which the child never gets a turn: it cannot start in no time at all.
    monkeypatch.setattr(reader, "PATIENCE", 0)
    with pytest.raises(RefsimError, match=r"tiny\.h5: not read after 0 s: the machine or its disk is slow") as caught:
        load(tiny)
    assert not isinstance(caught.value, FormatError)


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EIO])
def test_what_the_system_refuses_is_no_sign_of_a_bad_file(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    boot = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from refsim.formats.untrusted import child\n"
        f"def refused(*_): raise OSError({error}, '')\n"
        "child.open_shared = refused; child.main(int(sys.argv[2]), sys.argv[3])"
    )
    monkeypatch.setattr(reader, "_BOOT", boot)
    with pytest.raises(RefsimError, match=rf"tiny\.h5: the reader process could not begin: {os.strerror(error)}$"):
        load(tiny)


def load_with_file_sizes_up_to(soft: int, hard: int, path: Path) -> subprocess.CompletedProcess[str]:
    script = (
        "import resource, sys; from refsim.exceptions import FormatError, RefsimError;"
        "from refsim.formats.weights.hdf5 import load;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({soft}, {hard}))\n"
        "try: print(load(sys.argv[1]).network.name)\n"
        "except RefsimError as error: print(isinstance(error, FormatError), error)"
    )
    return subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, text=True)


def test_a_soft_limit_on_file_sizes_is_no_obstacle(tiny: Path) -> None:
    assert load_with_file_sizes_up_to(4096, resource.RLIM_INFINITY, tiny).stdout == "tiny\n"


def test_a_hard_limit_on_file_sizes_is_named(tiny: Path) -> None:
    assert load_with_file_sizes_up_to(4096, 4096, tiny).stdout == (
        f"False {tiny}: the reader process may not have a file as large as its answer; raise the limit (ulimit -f)\n"
    )


@pytest.mark.parametrize(
    "index",
    [
        '{"nodes": {"/": {"attrs": {}, "data": {"dtype": "<f8", "shape": [9999999999], "offset": 0}}}}',
        '{"nodes": {"/": {"attrs": {}, "data": {"dtype": "<f8", "shape": [4], "offset": -64}}}}',
        '{"nodes": {"/": {"attrs": {}, "data": {"dtype": "O", "shape": [1], "offset": 0}}}}',
        '{"nodes": {"/": {"attrs": 3}}}',
        '{"nodes": []}',
        "[]",
        "nonsense",
    ],
)
def test_an_answer_that_claims_too_much_is_not_believed(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    def lie(source: int, output: int, task: str) -> None:
        text = index.encode().ljust(192)
        os.write(output, len(text).to_bytes(8, "little") + text + bytes(64))

    monkeypatch.setattr(reader, "run_child", lie)
    with pytest.raises(FormatError, match="no usable answer"):
        load(tiny)


def test_the_reader_process_sees_no_environment_that_loads_plugins(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDF5_PLUGIN_PATH", "/nonexistent")
    monkeypatch.setenv("HDF5_PLUGIN_PRELOAD", "/nonexistent")
    assert load(tiny).warnings == ()


def test_loading_does_not_import_h5py_here(tiny: Path) -> None:
    # 0.1 s at the start of every command.
    script = (
        "import sys; from refsim.formats.weights.hdf5 import load; load(sys.argv[1]); sys.exit('h5py' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, tiny], check=True)


def test_the_working_directory_cannot_replace_a_module(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.parent / "h5py.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tiny.parent)
    assert load(tiny).network.name == "tiny"


def test_reading_in_this_process_gives_what_the_reader_process_gives(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other tests of this folder rely on it.
    expected = load(tiny)
    monkeypatch.setattr(reader, "run_child", run_here)
    actual = load(tiny)
    assert_same(actual.network, expected.network)
    assert actual.sha256 == expected.sha256


def test_a_file_of_very_many_layers_is_read_in_time(tmp_path: Path) -> None:
    # Anything quadratic in the number of layers shows here: minutes instead of seconds in a file of the largest size.
    neuron = Neuron(theta=np.array(1.0), v0=np.array(0.5))
    layers: list[Layer] = []
    for i in range(200):
        source = layers[-1].name if layers else "input"
        layers.append(Linear(name=f"fc{i}", inputs=(source,), weight=np.ones((1, 1)), bias=np.zeros(1)))
        layers.append(Spiking(name=f"if{i}", inputs=(f"fc{i}",), neuron=neuron))
    layers.append(Linear(name="out", inputs=("if199",), weight=np.ones((1, 1)), bias=np.zeros(1)))
    network = Network(name="deep", input=InputSpec(shape=(1, 1, 1)), layers=tuple(layers))
    save(tmp_path / "deep.h5", network)
    assert_same(load(tmp_path / "deep.h5").network, network)


def test_more_objects_than_a_reader_takes_are_refused_on_save_and_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_bytes()
    monkeypatch.setattr("refsim.formats.weights.encode.MAX_OBJECTS", 20)
    with pytest.raises(FormatError, match="/: 26 groups and datasets, a weight file holds at most 20"):
        save(tmp_path / "net.h5", tiny_network())
    monkeypatch.setattr("refsim.formats.untrusted.policy.MAX_OBJECTS", 20)
    with pytest.raises(FormatError, match=r"net\.h5:/layers.*: more than 20 objects"):
        load_bytes(data)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({f"k{i}": "v" for i in range(80)}, "/: 83 attributes, at most 63 can be stored"),
        ({"log": "x" * 70_000}, "/: attribute log is longer than 65536 bytes"),
    ],
    ids=["many", "long"],
)
def test_metadata_that_no_reader_takes_is_refused_on_save(tmp_path: Path, metadata: dict[str, str], says: str) -> None:
    network = tiny_network()
    with pytest.raises(FormatError, match=says):
        save(tmp_path / "net.h5", Network(name="x", input=network.input, layers=network.layers, metadata=metadata))


def test_weights_of_a_type_that_is_not_stored_are_refused_on_save(tmp_path: Path) -> None:
    network = tiny_network()
    layers = (*network.layers[:-1], replace(network.layers[-1], weight=np.ones((4, 12), dtype=np.uint8)))
    with pytest.raises(FormatError, match="/layers/fc/weight: expected elements of type f2 or f4 or f8"):
        save(tmp_path / "net.h5", replace(network, layers=layers))
    assert not list(tmp_path.iterdir())


def test_space_padded_class_names_are_read_without_the_spaces() -> None:
    def repad(file: h5py.File) -> None:
        padded = np.array([name.encode().ljust(20) for name in tiny_network().classes])
        del file["classes"]
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(20)
        kind.set_strpad(h5py.h5t.STR_SPACEPAD)
        created = h5py.h5d.create(file.id, b"classes", kind, h5py.h5s.create_simple((4,)))
        created.write(h5py.h5s.ALL, h5py.h5s.ALL, padded, mtype=kind)

    assert load_bytes(edited(repad)).network.classes == tiny_network().classes


def test_a_caller_with_tighter_limits_of_its_own_can_load(tiny: Path) -> None:
    script = (
        "import resource, sys; from refsim.formats.weights.hdf5 import load;"
        "resource.setrlimit(resource.RLIMIT_CPU, (9, 9)); resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
        "print(load(sys.argv[1]).network.name)"
    )
    result = subprocess.run([sys.executable, "-c", script, tiny], check=True, capture_output=True, text=True)
    assert result.stdout == "tiny\n"


def test_a_reader_that_needs_too_much_memory_is_stopped(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from refsim.formats.untrusted import child, policy;"
        "policy.walk = lambda *_, **__: bytearray(1 << 30); child.main(int(sys.argv[2]), sys.argv[3])"
    )
    monkeypatch.setattr(reader, "_BOOT", boot)
    with pytest.raises(FormatError, match="needs more memory than a file of its size can justify"):
        load(tiny)


def test_a_reader_that_opens_a_file_is_stopped(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from refsim.formats.untrusted import child, policy;"
        "policy.walk = lambda *_: open('/etc/passwd').read(); child.main(int(sys.argv[2]), sys.argv[3])"
    )
    monkeypatch.setattr(reader, "_BOOT", boot)
    with pytest.raises(FormatError, match="the reader process failed with status 1"):
        load(tiny)
