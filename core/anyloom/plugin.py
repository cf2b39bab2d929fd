"""What the core itself offers, registered through the same hook as everybody else's components."""

from __future__ import annotations

from anyloom.discovery import CommandSpec, ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The MLP projector, the reader of conversations on disk, and the training module."""
    return [
        ComponentSpec(
            kind="projector",
            name="mlp",
            target="anyloom.representation.projector:MLPProjector",
            tiny="anyloom.testing.own:projector",
            licence="Apache-2.0",
            summary="Linear, activation, norm, Linear (paper section 3.1), with an optional linear skip",
        ),
        ComponentSpec(
            kind="representation",
            name="autoregressive",
            target="anyloom.representation.autoregressive:Autoregressive",
            tiny="anyloom.testing.own:autoregressive",
            licence="Apache-2.0",
            summary="Features are predicted one after another, each fed back (paper section 3.2)",
        ),
        ComponentSpec(
            kind="representation",
            name="parallel",
            target="anyloom.representation.parallel:Parallel",
            tiny="anyloom.testing.own:parallel",
            licence="Apache-2.0",
            summary="All features of a medium are predicted at once, from its begin tag",
        ),
        ComponentSpec(
            kind="coupler",
            name="condition-coupler",
            target="anyloom.diffusion.couplers:ConditionCoupler",
            licence="Apache-2.0",
            summary="Lets the conditions of two latent diffusion decoders attend to each other's side (CoDi)",
        ),
        ComponentSpec(
            kind="loss",
            name="info-nce",
            target="anyloom.network.info_nce:InfoNCE",
            tiny="anyloom.testing.own:info_nce",
            licence="Apache-2.0",
            summary="A predicted medium lies nearer to its own target than to those of others in the batch",
        ),
        ComponentSpec(
            kind="dataset",
            name="conversations",
            target="anyloom.data.conversations:ConversationFiles",
            tiny="anyloom.testing.own:conversations",
            licence="Apache-2.0",
            summary="JSON Lines files of chat messages with media beside them",
        ),
        ComponentSpec(
            kind="module",
            name="any-to-any",
            target="anyloom.training.module:AnyToAnyModule",
            licence="Apache-2.0",
            summary="Trains and evaluates the assembled model: token, feature and diffusion losses",
        ),
        ComponentSpec(
            kind="module",
            name="latent-autoencoder",
            target="anyloom.training.decoder_stages:AutoencoderStage",
            licence="Apache-2.0",
            summary="Trains the autoencoder of a latent diffusion decoder",
        ),
        ComponentSpec(
            kind="module",
            name="feature-decoder",
            target="anyloom.training.denoiser_stage:DenoiserStage",
            licence="Apache-2.0",
            summary="Trains the denoiser of a latent diffusion decoder on features of a frozen encoder",
        ),
        ComponentSpec(
            kind="module",
            name="decoder",
            target="anyloom.training.decoder_alone:DecoderTraining",
            licence="Apache-2.0",
            summary="Trains a decoder of any kind by its own loss on features of a frozen encoder",
        ),
    ]


@hookimpl
def anyloom_commands() -> list[CommandSpec]:
    """The framework's own subcommands."""
    return [
        CommandSpec(name="plugins", target="anyloom.cli.plugins:main", summary="list the installed components"),
        CommandSpec(name="recipes", target="anyloom.cli.recipes:main", summary="list the recipes and how to run each"),
        CommandSpec(name="check", target="anyloom.cli.check:main", summary="check a config before any weight loads"),
        CommandSpec(name="schema", target="anyloom.cli.schema:main", summary="JSON schema of configs, for editors"),
        CommandSpec(
            name="to-safetensors",
            target="anyloom.cli.to_safetensors:main",
            summary="write pickled weights in a folder as safetensors",
        ),
        CommandSpec(
            name="data", target="anyloom.cli.data:main", summary="look at a config's data: preview, stats, build"
        ),
        CommandSpec(name="fit", target="anyloom.cli.train:fit", summary="train a model, or one stage of a recipe"),
        CommandSpec(name="validate", target="anyloom.cli.train:validate", summary="run the validation loop"),
        CommandSpec(name="test", target="anyloom.cli.train:test", summary="run the test loop"),
        CommandSpec(name="predict", target="anyloom.cli.train:predict", summary="generate answers for a data set"),
        CommandSpec(name="generate", target="anyloom.cli.generate:main", summary="answer one conversation"),
        CommandSpec(name="evaluate", target="anyloom.cli.evaluate:main", summary="run an evaluation suite on a model"),
        CommandSpec(
            name="score", target="anyloom.cli.score:main", summary="score the outputs of any program by a suite"
        ),
        CommandSpec(
            name="baseline", target="anyloom.cli.baseline:main", summary="let a baseline answer a suite, and score it"
        ),
        CommandSpec(
            name="compare", target="anyloom.cli.compare:main", summary="compare two evaluations question by question"
        ),
        CommandSpec(name="open", target="anyloom.cli.open_report:main", summary="show a report in a browser"),
        CommandSpec(name="env", target="anyloom.cli.env:main", summary="print versions, machine and plugins"),
        CommandSpec(
            name="doctor", target="anyloom.cli.doctor:main", summary="look for what may be wrong here, with cures"
        ),
        CommandSpec(name="completion", target="anyloom.cli.completion:main", summary="print a tab completion script"),
    ]
