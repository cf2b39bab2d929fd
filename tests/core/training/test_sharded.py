"""``strategy: fsdp2``: two processes that hold halves learn what two that hold everything do, save it and go on."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import yaml
from safetensors.torch import save_file

from anyloom import AnyToAnyModel
from anyloom.checking.trainer_options import trainer_problems
from anyloom.errors import CheckpointError
from anyloom.storage.hashes import sha256
from anyloom.storage.tensors import read_tensors
from anyloom.training.checkpoint_files import CheckpointFiles
from anyloom.training.shard_files import save_shards
from anyloom.training.sharded import NAME
from forked import anyloom
from projects import sections

TWO = ("trainer.devices=2", f"trainer.strategy={NAME}")


def fit(folder: Path, *words: str, command: str = "fit", status: int = 0) -> str:
    """Run a command, on two processes where the words say so; returns what they printed."""
    processes = 2 if "trainer.devices=2" in words else 1
    statuses, said = anyloom(command, "config.yaml", *words, folder=folder, processes=processes)
    assert statuses == [status] * processes, said[-4500:]
    return said


def make_project(folder: Path) -> Path:
    made: dict[str, Any] = sections(folder, max_steps=4)
    saving = {"dirpath": "ck", "filename": "{step}", "save_top_k": -1, "every_n_train_steps": 2}
    made["trainer"]["callbacks"] = [{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": saving}]
    made["data"]["batch_size"] = 1
    made["result"] = "result"
    (folder / "config.yaml").write_text(yaml.safe_dump(made))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after two runs of four steps: two processes with halves (``ck``), two with everything (``ck-ddp``)."""
    project = make_project(tmp_path_factory.mktemp("sharded"))
    fit(project, *TWO, "result=halves")
    elsewhere = "trainer.callbacks.0.init_args.dirpath=ck-ddp"
    fit(project, "trainer.devices=2", "trainer.strategy=ddp", elsewhere, "result=wholes")
    return project


def learned(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder)


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[k].float() - other[k].float()).abs().max()) for k in one)


@pytest.mark.slow
def test_two_halves_learn_what_two_wholes_do(trained: Path) -> None:
    assert largest_difference(learned(trained / "halves"), learned(trained / "wholes")) < 1e-5
    start = learned(trained / "halves")
    model = AnyToAnyModel.from_pretrained(trained / "halves", trust=True)
    assert all(torch.equal(start[k], v) for k, v in model.state_dict().items() if k in start)
    fit(trained, *TWO, "result=halves", command="test")
    said = fit(trained, *TWO, "result=halves", "--output", "answers", command="predict")
    assert "3 answers" in said


@pytest.mark.slow
def test_shards_that_are_written_in_the_background_are_the_same(trained: Path, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    plugin = "lightning.pytorch.plugins.io.AsyncCheckpointIO"
    fit(project, *TWO, "result=halves", f"trainer.plugins=[{{class_path: {plugin}}}]")
    ours, theirs = (CheckpointFiles().load_checkpoint(p / "ck" / "step=4.ckpt") for p in (project, trained))
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    assert all(torch.equal(ours["state_dict"][k], v) for k, v in theirs["state_dict"].items())
    moments = [c["optimizer_states"][0]["state"] for c in (ours, theirs)]
    assert all(torch.equal(moments[0][k][m], v) for k, state in moments[1].items() for m, v in state.items())


@pytest.mark.slow
def test_what_steps_whole_matrices_is_refused(tmp_path: Path) -> None:
    said = fit(make_project(tmp_path), *TWO, "module.optimizer.hidden_matrices=muon", status=2)
    assert "muon steps whole matrices" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_run_in_halves_goes_on_in_any_number_of_processes(trained: Path) -> None:
    cut = f"ckpt_path={trained / 'ck' / 'step=2.ckpt'}"
    fit(trained, *TWO, cut, "result=resumed", "trainer.callbacks=[]")
    assert largest_difference(learned(trained / "halves"), learned(trained / "resumed")) < 1e-6
    fit(trained, cut, "result=alone", "trainer.callbacks=[]")
    assert largest_difference(learned(trained / "alone"), learned(trained / "resumed")) < 0.1


@pytest.mark.slow
def test_a_checkpoint_in_shards_is_what_one_in_a_file_is(trained: Path) -> None:
    """Two processes of DDP and of FSDP2 after the same steps: every weight and moment, by name."""
    shards = trained / "ck" / "step=2.ckpt"
    files = json.loads((shards / "files.json").read_text())
    tensors = [f for f in files["files"] if f.endswith(".safetensors")]
    sizes = [(shards / files["folder"] / f).stat().st_size for f in tensors]
    assert len(sizes) == 2
    assert min(sizes) > 0.4 * sum(sizes)  # each process wrote about a half
    in_shards = CheckpointFiles().load_checkpoint(shards)
    in_file = CheckpointFiles().load_checkpoint(trained / "ck-ddp" / "step=2.ckpt")
    assert in_shards.keys() == in_file.keys()
    assert largest_difference(in_shards["state_dict"], in_file["state_dict"]) < 1e-5
    ours, theirs = in_shards["optimizer_states"][0], in_file["optimizer_states"][0]
    names = [n for group in ours["param_groups"] for n in group["params"]]
    numbers = [n for group in theirs["param_groups"] for n in group["params"]]
    assert len(names) == len(numbers)
    for name, number in zip(names, numbers):
        one, other = ours["state"][name], theirs["state"][number]
        assert one.keys() == other.keys()
        assert all(torch.allclose(one[k], other[k], atol=1e-5) for k in one)


@pytest.mark.slow
def test_a_file_is_gone_on_from_in_halves_and_a_damaged_shard_is_passed_over(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "ck")
    whole = tmp_path / "ck-ddp" / "step=2.ckpt"
    assert whole.is_file()
    fit(tmp_path, *TWO, f"ckpt_path={whole}", "result=halves")
    newest = tmp_path / "ck" / "step=4.ckpt"
    assert newest.is_dir()
    (shard, *_) = sorted(newest.rglob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        CheckpointFiles().load_checkpoint(newest)
    shutil.copy2(whole, tmp_path / "ck")  # with its time: it is the older one
    said = fit(tmp_path, *TWO, "ckpt_path=last", "result=again")
    assert f"{newest.relative_to(tmp_path)} is damaged; going on from" in said
    assert largest_difference(learned(tmp_path / "again"), learned(tmp_path / "halves")) < 1e-6


def test_shards_of_one_process_come_back_and_are_the_old_ones_until_the_new_are_whole(tmp_path: Path) -> None:
    """Moments and weights of an optimizer of torch, read by the same optimizer: no process group is needed."""
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    path = tmp_path / "last.ckpt"
    for step in range(2):
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        names = dict(enumerate(n for n, _ in layer.named_parameters()))
        state = optimizer.state_dict()
        state["state"] = {names[n]: v for n, v in state["state"].items()}
        state["param_groups"][0]["params"] = list(names.values())
        content = {"state_dict": layer.state_dict(), "optimizer_states": [state], "step": step}
        save_shards({**content, "pytorch-lightning_version": "2.0"}, path)
        found = CheckpointFiles().load_checkpoint(path)
        assert found["step"] == step
        assert all(torch.equal(found["state_dict"][k], v) for k, v in layer.state_dict().items())
        other = torch.optim.AdamW(torch.nn.Linear(3, 2).parameters(), lr=0.1)
        other.load_state_dict(found["optimizer_states"][0])
        for mine, theirs in zip(optimizer.state.values(), other.state.values()):
            assert all(torch.equal(mine[k], theirs[k]) for k in mine)
        assert len(list(path.iterdir())) == 2
    (path / "0123456789abcdef").mkdir()  # of a process that was killed while it wrote
    assert CheckpointFiles().load_checkpoint(path)["step"] == 1
    CheckpointFiles().remove_checkpoint(path)
    assert not path.exists()


def _verify(rank: int, path: Path, store: Path, out: Path) -> None:
    from anyloom.training import shard_files

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    read: list[str] = []
    whole = shard_files.sha256
    shard_files.sha256 = lambda file: (read.append(file.name), whole(file))[1]  # type: ignore[attr-defined]
    try:
        shard_files.verify_shards(path, together=True)
        said = ""
    except CheckpointError as error:
        said = str(error)
    (out / f"{rank}.json").write_text(json.dumps([read, said]))
    dist.destroy_process_group()


@pytest.mark.ddp
@pytest.mark.parametrize("damaged", [False, True])
def test_every_process_reads_its_share_of_the_files_and_all_hear_of_a_damaged_one(
    tmp_path: Path, damaged: bool
) -> None:
    content = {"state_dict": {"a": torch.ones(8)}, "optimizer_states": [], "pytorch-lightning_version": "2.0"}
    save_shards(content, tmp_path / "a.ckpt")
    (shard,) = (tmp_path / "a.ckpt").rglob("*.safetensors")
    if damaged:
        shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    context = multiprocessing.get_context("fork")
    given = (tmp_path / "a.ckpt", tmp_path / "store", tmp_path)
    processes = [context.Process(target=_verify, args=(rank, *given)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert sorted(name for read, _ in found for name in read) == sorted([shard.name, "trainer.ckpt"])
    assert all(len(read) == 1 for read, _ in found)
    assert all(("damaged" in said) == damaged for _, said in found), found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "names no folder"),
        ("[" * 10**5, "cannot be read"),
        ('{"folder": "../secret"}', "names no folder"),
        ('{"folder": "0123456789abcdef", "files": {"../x": "a"}}', "not in its folder"),
        ("{", "cannot be read"),
    ],
)
def test_a_list_of_shards_that_was_written_by_somebody_else_is_one_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "files.json").write_text(text)
    with pytest.raises(CheckpointError, match=said):
        CheckpointFiles().load_checkpoint(tmp_path)


def test_the_first_fsdp_is_refused_and_the_second_is_known() -> None:
    (problem,) = trainer_problems({"strategy": "fsdp"})
    assert NAME in problem.fix
    assert trainer_problems({"strategy": NAME}) == []


def test_averages_of_shards_are_refused() -> None:
    averaging = [{"class_path": f"lightning.pytorch.callbacks.{n}"} for n in ("Timer", "EMAWeightAveraging")]
    (problem,) = trainer_problems({"strategy": NAME, "callbacks": averaging})
    assert "callbacks" in problem.where
    assert "averages need them whole" in problem.what
    assert trainer_problems({"strategy": "ddp", "callbacks": averaging}) == []


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ({"saved_offsets": [10**9, 0]}, r"weights/a is said to be \(1000000002, 3\)"),
        ({"saved_offsets": [1, 0]}, r"said to be \(3, 3\)"),
        ({"saved_offsets": "far"}, "cannot be read"),
        ({}, "cannot be read"),
    ],
)
def test_shards_that_claim_more_than_they_hold_take_no_memory(
    tmp_path: Path, offsets: dict[str, Any], said: str
) -> None:
    """The list of files is right, as one who made the shards would write it."""
    folder = tmp_path / "0123456789abcdef"
    folder.mkdir()
    header = {"DCP_SHARDING_INFO": json.dumps({"weights/a": offsets}), "DCP_VERSION": "1.0", "format": "pt"}
    save_file({"weights/a": torch.ones(2, 3)}, folder / "shard-00001-model-00001-of-00001.safetensors", header)
    torch.save({"pytorch-lightning_version": "2.0"}, folder / "trainer.ckpt")
    files = {f.name: sha256(f) for f in folder.iterdir()}
    (tmp_path / "files.json").write_text(json.dumps({"folder": folder.name, "files": files}))
    with pytest.raises(CheckpointError, match=said):
        CheckpointFiles().load_checkpoint(tmp_path)
