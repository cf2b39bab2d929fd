from __future__ import annotations

import copy
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.cli import LightningCLI
from safetensors.torch import save_file

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.data.ledger import Ledger
from anyloom.data.loader import ResumableLoader
from anyloom.errors import AnyloomError, MediaError
from anyloom.interfaces import Sample
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom.training.run import run
from parts import picture
from projects import sections

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


def losses(folder: Path) -> dict[int, str]:
    """Training loss by step, as the CSV logger printed it; the last version wins."""
    found: dict[int, str] = {}
    for version in sorted((folder / "run" / "csv").glob("version_*"), key=lambda p: int(p.name.split("_")[1])):
        lines = (version / "metrics.csv").read_text().splitlines() if (version / "metrics.csv").exists() else []
        header = lines[0].split(",") if lines else []
        for row in (dict(zip(header, line.split(","))) for line in lines[1:]):
            if row.get("train/loss"):
                found[int(row["step"])] = row["train/loss"]
    return found


def project(folder: Path) -> dict[str, Any]:
    """Seven steps in epochs of four, a validation every two steps, a checkpoint after every step."""
    folder.mkdir()
    made = sections(folder, max_steps=7)
    options = {"dirpath": str(folder / "checkpoints"), "every_n_train_steps": 1, "save_last": True}
    made["trainer"] |= {
        "callbacks": [{"class_path": CHECKPOINT, "init_args": options}],
        "val_check_interval": 2,
        "num_sanity_val_steps": 0,
    }
    made["data"]["bucket"] = 2
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[LightningCLI, dict[int, str]]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    return run("fit", project(folder)), losses(folder)


@pytest.mark.parametrize("stop", [1, 3, 4, 5])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, whole: tuple[LightningCLI, dict[int, str]], stop: int
) -> None:
    """The loss depends on random noise on features, on the order of batches and on the optimizer's state."""
    config = project(tmp_path / "run")
    cut = copy.deepcopy(config)
    cut["trainer"]["callbacks"].append({"class_path": "projects.PowerCut", "init_args": {"step": stop}})
    with pytest.raises(RuntimeError, match="power cut"):
        run("fit", cut)
    assert not (tmp_path / "run" / "result").exists()

    resumed = run("fit", {**config, "ckpt_path": "last"})
    cli, expected = whole
    assert sorted(expected) == list(range(7))
    assert losses(tmp_path / "run") == expected
    weights = resumed.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in cli.model.state_dict().items())


def test_a_run_with_muon_resumes_bit_for_bit(tmp_path: Path) -> None:
    made = {name: project(tmp_path / name) for name in ("unbroken", "cut")}
    for config in made.values():
        config["module"]["optimizer"] = {**config["module"].get("optimizer", {}), "hidden_matrices": "muon"}
    unbroken = run("fit", made["unbroken"])
    cut = copy.deepcopy(made["cut"])
    cut["trainer"]["callbacks"].append({"class_path": "projects.PowerCut", "init_args": {"step": 3}})
    with pytest.raises(RuntimeError, match="power cut"):
        run("fit", cut)
    resumed = run("fit", {**made["cut"], "ckpt_path": "last"})
    assert type(resumed.trainer.optimizers[0]).__name__.endswith("MuonWithAdamW")
    weights = resumed.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in unbroken.model.state_dict().items())


def test_the_result_loads_and_gives_equal_outputs(tmp_path: Path) -> None:
    trained = run("fit", project(tmp_path / "run")).model.model.eval()
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "run" / "result", trust=True)
    sample = Sample(Conversation([Message("user", ["hello", picture(1)]), Message("assistant", [picture(2)])]), "t")
    again = loaded(loaded.collator()([sample])).terms
    for name, term in trained(trained.collator()([sample])).terms.items():
        assert torch.equal(term.total, again[name].total), name
        assert (term.count, term.weight) == (again[name].count, again[name].weight), name
    asked = sample.conversation.prompt()
    answers = [m.generate(asked, media={"image": "force"}, max_new_tokens=4) for m in (trained, loaded)]
    assert answers[0].text == answers[1].text
    assert torch.equal(answers[0].media[0].features, answers[1].media[0].features)


def loader(**options: Any) -> ResumableLoader:
    samples = [Sample(Conversation([Message("user", str(i))]), "t") for i in range(10)]
    return ResumableLoader(lambda epoch: samples, lambda s: [x.conversation.messages[0].text for x in s], 2, **options)


def test_every_pass_is_a_new_epoch_of_all_samples() -> None:
    made = loader(bucket=2)
    first, second = list(made), list(made)
    assert Counter(chain(*first)) == Counter(chain(*second)) == Counter(map(str, range(10)))
    assert first != second
    assert len(made) == 5


def test_a_pass_that_was_left_early_leaves_no_sample_out() -> None:
    made, whole = loader(), loader()
    left = next(iter(made))
    assert [left, *made] == [*whole, *whole][:6]


@pytest.mark.parametrize("done", range(1, 6))
@pytest.mark.parametrize("bucket", [1, 2, 3])
def test_a_saved_loader_goes_on_where_it_was(done: int, bucket: int) -> None:
    made = loader(bucket=bucket)
    iterator = iter(made)
    for _ in range(done):
        next(iterator)
    state = made.state_dict()
    rest = [*iterator, *made]
    resumed = loader(bucket=bucket)
    resumed.load_state_dict(state)
    again = [*resumed, *resumed] if done < 5 else [*resumed]
    assert again == rest


def test_validation_always_reads_everything_in_order() -> None:
    made = loader(shuffle=False)
    next(iter(made))
    assert list(made) == list(made) == [[str(i), str(i + 1)] for i in range(0, 10, 2)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_share_the_samples_without_overlap(shuffle: bool) -> None:
    one, other = (set(chain(*loader(shuffle=shuffle, rank=rank, world=2))) for rank in range(2))
    assert not one & other
    assert len(one | other) == (8 if shuffle else 10)


def test_reading_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    list(loader())
    assert torch.equal(before, torch.get_rng_state())


class BrokenFiles(list[Sample]):
    """Samples of which one cannot be read."""

    def __getitem__(self, index: Any) -> Any:
        if index == 3:
            raise MediaError("the file is broken", where="3.png", fix="replace it")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_users_mistake_in_a_data_worker_is_raised_as_it_is(workers: int) -> None:
    samples = BrokenFiles([Sample(Conversation([Message("user", "x")]), "t")] * 4)
    made = ResumableLoader(lambda epoch: samples, len, 2, workers=workers)
    with pytest.raises(MediaError) as caught:
        list(made)
    assert str(caught.value) == "3.png: the file is broken. To fix: replace it"


def refuse(samples: list[Sample]) -> None:
    raise MediaError("not a picture", where="1.png")


@pytest.mark.parametrize(("workers", "accumulated"), [(0, 1), (1, 1), (1, 3)])
def test_so_is_one_in_the_collator(workers: int, accumulated: int) -> None:
    samples = [Sample(Conversation([Message("user", "x")]), "t")] * 4
    with pytest.raises(MediaError, match=r"^1\.png: not a picture$"):
        list(ResumableLoader(lambda epoch: samples, refuse, 2, workers=workers, accumulated=accumulated))


@pytest.mark.parametrize(("share", "says"), [(0.1, "10.00%"), (1.0, "100.00%")])
def test_data_of_which_nothing_can_be_used_ends_with_what_is_wrong(share: float, says: str) -> None:
    samples = [Sample(Conversation([Message("user", "x")]), "t")] * 400
    made = ResumableLoader(lambda epoch: samples, refuse, 2, ledger=Ledger(max_bad=share))
    with pytest.raises(AnyloomError, match=rf"records cannot be used; {says} are allowed: .*1\.png: not a picture"):
        list(made)
    assert made.ledger.total()["used"] == 0


def from_files(folder: Path) -> dict[str, Any]:
    """Like :func:`project`, with an encoder and a language model (adapters, rows) that come from files."""
    made = project(folder)
    plain = AnyToAnyModel(validate(ModelConfig, made["model"], where="model"))
    save_file(plain.encoder("image").state_dict(), folder / "eye.safetensors")
    plain.llm.lm.save_pretrained(folder / "llm")
    lora = {"rank": 2, "targets": ["q_proj"]}
    tokenizer = made["model"]["llm"]["tokenizer"]
    made["model"]["llm"] = {
        "name": "llama", "weights": str(folder / "llm"), "tokenizer": tokenizer, "lora": lora, "attention": "eager"
    }  # fmt: skip
    weights = str(folder / "eye.safetensors")
    made["model"]["encoders"]["eye"] = {"class_path": "projects.FileEncoder", "weights": weights}
    return made


def test_a_checkpoint_leaves_out_what_files_hold_and_resumes_exactly(tmp_path: Path) -> None:
    config = from_files(tmp_path / "run")
    cut = copy.deepcopy(config)
    cut["trainer"]["callbacks"].append({"class_path": "projects.PowerCut", "init_args": {"step": 3}})
    whole = copy.deepcopy(config)
    whole["trainer"] |= {"callbacks": [], "enable_checkpointing": False}
    expected = run("fit", whole).model.state_dict()
    with pytest.raises(RuntimeError, match="power cut"):
        run("fit", cut)
    kept = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert not [key for key in kept if ".encoders." in key]
    assert {key.split(".")[-2] for key in kept if ".llm.lm." in key} == {"default"}
    assert "model.parts.llm.new_input_rows" in kept

    resumed = run("fit", {**config, "ckpt_path": "last"}).model.state_dict()
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[key], tensor) for key, tensor in expected.items())
