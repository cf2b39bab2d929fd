"""``anyloom layouts``: tiny data sets to look at."""

from __future__ import annotations

import pytest

from anyloom.cli.main import main


def test_layouts_are_written_and_never_over_others(tmp_path, capsys):
    assert main(["layouts", str(tmp_path), "alpaca", "kosmos-g"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in ("alpaca", "kosmos-g")]
    assert (tmp_path / "alpaca" / "alpaca_data.json").is_file()
    assert main(["layouts", str(tmp_path), "cobsat", "alpaca"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert not (tmp_path / "cobsat").exists()


@pytest.mark.parametrize("name", ["lain", "../x"])
def test_unknown_layouts_are_refused(tmp_path, capsys, name):
    assert main(["layouts", str(tmp_path), name]) == 2
    assert "there is no layout" in capsys.readouterr().err
