"""Files of other tools become the network that those tools run, or are refused with the reason."""

import pytest

from . import judge

NOT_READ_YET = ("keras-",)

cases = [
    pytest.param(name, marks=pytest.mark.xfail(strict=True, reason="not read yet"))
    if name.startswith(NOT_READ_YET)
    else name
    for name in judge.CASES
]


@pytest.mark.parametrize("name", cases)
def test_a_file_becomes_the_network_it_holds_or_is_refused_with_the_reason(name, tmp_path, capsys):
    case = judge.CASES[name]
    if any(".onnx" in file for file in case["files"]):
        pytest.importorskip("onnx")
    if case["check"] == "equal":
        judge.check_equal(tmp_path, name, capsys)
    elif case["check"] == "refused":
        judge.check_refused(tmp_path, name, capsys)
    else:
        judge.check_nir(tmp_path, name, capsys)
