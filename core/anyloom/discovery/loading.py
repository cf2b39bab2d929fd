"""From entry points to the records they offer, or to the reasons why they offer none.

All plugins are imported and registered first, and asked then, through pluggy's own callers: so ``tryfirst``,
``trylast`` and wrappers count, also those of a plugin that is loaded later.
"""

from __future__ import annotations

import copy
import importlib
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pluggy

from anyloom.discovery.finding import Found
from anyloom.discovery.guarding import Guard, tell
from anyloom.discovery.hooks import GROUP
from anyloom.discovery.records import API, CommandSpec, ComponentSpec, RecipeSpec
from anyloom.errors import AnyloomError, PluginError

__all__ = ["ALLOW_VARIABLE", "Loader", "Plugin", "Records", "in_order"]

ALLOW_VARIABLE: Final = "ANYLOOM_PLUGINS"
"""Environment variable with a comma-separated allow-list of entry-point names, or of ``name@package``.

Unset means all; empty means the core alone.
"""

_HOOKS: Final[dict[str, type[Any]]] = {
    "anyloom_components": ComponentSpec,
    "anyloom_recipes": RecipeSpec,
    "anyloom_commands": CommandSpec,
}


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group ``anyloom`` and what became of it.

    Args:
        name: Entry-point name.
        package: Distribution that declares it.
        version: Version of that distribution.
        status: ``ok``, ``failed``, ``incompatible``, ``duplicate`` or ``disabled``.
        cause: One line why it is not ``ok``.
        detail: The full traceback, where there is one.
        seconds: How long it took to load.
        module: Module behind the entry point.
        notes: What it does to its surroundings while it is loaded, a line each.

    >>> Plugin("mine", "anyloom-mine", "1.0", status="failed", cause="ImportError: no module").cause
    'ImportError: no module'
    """

    name: str
    package: str
    version: str
    status: str = "ok"
    cause: str = ""
    detail: str = ""
    seconds: float = 0.0
    module: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.package} {self.version})"


@dataclass(frozen=True)
class Records:
    """What one plugin offers."""

    components: tuple[ComponentSpec, ...] = ()
    recipes: tuple[RecipeSpec, ...] = ()
    commands: tuple[CommandSpec, ...] = ()


class Loader:
    """Loads plugins one by one; what they offer is in :attr:`plugins` and :attr:`records`, in the order of loading.

    Args:
        manager: Keeps the modules of those plugins registered that are ``ok``, and of no others.
        limit: Seconds after which the loading of one plugin is interrupted, if it can be; 0 for never.
    """

    def __init__(self, manager: pluggy.PluginManager, limit: float = 0.0) -> None:
        self.manager = manager
        self.plugins: dict[str, Plugin] = {}
        self.records: dict[str, Records] = {}
        self._modules: dict[str, Any] = {}
        self._keys: dict[int, str] = {}
        self._wrapped: set[str] = set()
        self._guard = Guard(limit)

    def load(self, points: Iterable[tuple[Found, bool]]) -> None:
        """Import and ask all plugins; a plugin gives all its records, or none.

        Args:
            points: Entry points, each with whether the allow-list names it.
        """
        with self._guard:
            for number, (found, allowed) in enumerate(points):
                self._import(f"{found.name}@{found.package}#{number}", found, allowed)
            self._wrapped = {h for h in _HOOKS if any(map(_wraps, getattr(self.manager.hook, h).get_hookimpls()))}
            for key in list(self._modules):
                self._ask(key)
        self._claim_names()
        for plugin in self.plugins.values():
            for note in plugin.notes:
                tell(f"the plugin {plugin} {note}")

    def ordered(self, hook: str) -> Iterator[str]:
        """Keys of the plugins that implement a hook, in the order in which pluggy would call them; the core first."""
        for implementation in in_order(getattr(self.manager.hook, hook).get_hookimpls()):
            yield self._keys[id(implementation.plugin)]

    def _import(self, key: str, found: Found, allowed: bool) -> None:
        """Import a plugin's module and register it."""
        plugin = Plugin(found.name, found.package, found.version, module=found.module)
        self.plugins[key], self.records[key] = plugin, Records()
        if found.problem:
            status = "duplicate" if found.hidden else "failed"
            cause = f"{found.problem}. To fix: uninstall {plugin.package} and install it again"
            self.plugins[key] = replace(plugin, status=status, cause=cause)
            return
        if not allowed:
            self.plugins[key] = replace(plugin, status="disabled", cause=f"not in the allow-list {ALLOW_VARIABLE}")
            return
        with self._watched(key):
            module = importlib.import_module(found.module)
            for name in found.attribute.split(".") if found.attribute else ():
                module = getattr(module, name)
            if other := self._keys.get(id(module)):
                fix = f"uninstall one of {plugin.package} and {self.plugins[other].package}"
                raise _DuplicateError(f"{found.value} is also the entry point of {self.plugins[other]}", fix=fix)
            self.manager.register(module, name=key)
            self._modules[key], self._keys[id(module)] = module, key
            self.manager.check_pending()
            _require_hooks(self.manager, module)

    def _ask(self, key: str) -> None:
        """Ask a plugin for its records."""
        if key not in self._modules:  # another plugin's question has shown that it fails
            return
        plugin = self.plugins[key]
        with self._watched(key):
            answers = {hook: self._answers(key, hook, record) for hook, record in _HOOKS.items()}
            owner = {"package": plugin.package, "version": plugin.version, "plugin": plugin.name}
            owned = tuple(_owned(spec, owner) for spec in answers["anyloom_components"])
            self.records[key] = Records(owned, answers["anyloom_recipes"], answers["anyloom_commands"])

    def _watched(self, key: str) -> _Watched:
        return _Watched(self, key)

    def fail(self, key: str, error: BaseException) -> None:
        """Let a plugin offer nothing any more, and keep the reason."""
        plugin = self.plugins[key]
        module = self._modules.pop(key, None)
        if module is not None:
            self.manager.unregister(name=key)
            del self._keys[id(module)]
        self.records[key] = Records()
        detail = "".join(traceback.format_exception(error))
        status = error.status if isinstance(error, _StatusError) else "failed"
        self.plugins[key] = replace(plugin, status=status, cause=_cause(error, plugin), detail=detail)

    def _answers(self, key: str, hook: str, record: type[Any]) -> tuple[Any, ...]:
        """What a plugin's implementations of a hook give, through the wrappers of all plugins, each record checked."""
        module = self._modules[key]
        if not hasattr(module, hook):
            return ()
        if hook not in self._wrapped:  # then pluggy would look at all plugins to call the one function of this one
            if self.manager.parse_hookimpl_opts(module, hook) is None:
                return ()
            answer = getattr(module, hook)()
            return _checked([] if answer is None else [answer], hook, record, self.plugins[key])
        implementations: list[Any] = getattr(self.manager.hook, hook).get_hookimpls()
        if not any(i.plugin is module and not _wraps(i) for i in implementations):
            return ()
        others = [i for i in implementations if i.plugin is not module]
        foreign = [i.plugin for i in others if _wraps(i)]
        caller = self.manager.subset_hook_caller(hook, [i.plugin for i in others if not _wraps(i)])
        try:
            answers = caller()
        except Exception as error:
            if not foreign:
                raise
            answers = self.manager.subset_hook_caller(hook, [i.plugin for i in others])()
            for name in {self._keys[id(plugin)] for plugin in foreign}:
                self.fail(name, error)
        return _checked(answers, hook, record, self.plugins[key])

    def _claim_names(self) -> None:
        """Give names of recipes and commands to the plugins that come first. (Components may clash until asked for.)"""
        owners: dict[tuple[type[Any], str], Plugin] = {}
        for hook, field_name in (("anyloom_recipes", "recipes"), ("anyloom_commands", "commands")):
            for key in list(self.ordered(hook)):
                plugin = self.plugins[key]
                for spec in getattr(self.records[key], field_name):
                    owner = owners.setdefault((type(spec), spec.name), plugin)
                    if owner is not plugin:
                        word = "recipe" if isinstance(spec, RecipeSpec) else "command"
                        what = f"the {word} {spec.name!r} of {plugin} is also provided by {owner}"
                        fix = f"uninstall one of them, or list the entry points to load in {ALLOW_VARIABLE}"
                        self.fail(key, PluginError(what, fix=fix))
                        break


class _Watched:
    """Around a piece of a plugin's code: what it raises becomes its status, what it does a note."""

    def __init__(self, loader: Loader, key: str) -> None:
        self.loader, self.key = loader, key

    def __enter__(self) -> None:
        """Begin."""
        plugin = self.loader.plugins[self.key]
        self.started = time.monotonic()
        self.block = self.loader._guard.plugin(str(plugin), _leave_out(plugin))
        self.notes = self.block.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        """Take in an error of any kind, unless the user has pressed Ctrl-C."""
        self.block.__exit__(None, None, None)
        plugin = self.loader.plugins[self.key]
        notes = (*plugin.notes, *(n for n in self.notes if n not in plugin.notes))
        seconds = plugin.seconds + time.monotonic() - self.started
        self.loader.plugins[self.key] = replace(plugin, notes=notes, seconds=seconds)
        if error is None:
            return False
        if isinstance(error, KeyboardInterrupt) and self.loader._guard.interrupted:
            return False
        self.loader.fail(self.key, error)
        return True


def in_order(implementations: Iterable[Any]) -> list[Any]:
    """Implementations of a hook without wrappers: the core's, then ``tryfirst``, the others, and ``trylast``.

    The core comes first whatever the others say, so that no plugin can take the name of one of its commands.
    """
    plain = [i for i in implementations if not _wraps(i)]
    return sorted(plain, key=lambda i: (not i.plugin_name.startswith(f"{GROUP}@"), i.trylast, not i.tryfirst))


def _owned(spec: ComponentSpec, owner: dict[str, str]) -> ComponentSpec:
    """A copy that says whose it is. What was checked when the record was made is not checked again."""
    made = copy.copy(spec)
    vars(made).update(owner)
    return made


def _require_hooks(manager: pluggy.PluginManager, module: Any) -> None:
    callers = manager.get_hookcallers(module)
    if not callers:
        fix = "decorate its functions with anyloom.discovery.hookimpl"
        raise PluginError("the module implements no hook of anyloom", fix=fix)
    for caller in callers:
        if any(i.opts.get("specname") for i in caller.get_hookimpls() if i.plugin is module):
            # pluggy finds the implementations to leave out of a call by the hook's name
            raise PluginError(f"specname={caller.name!r} is not supported", fix=f"call the function {caller.name}")


def _wraps(implementation: Any) -> bool:
    return bool(implementation.hookwrapper or implementation.wrapper)


def _checked(answers: Any, hook: str, record: type[Any], plugin: Plugin) -> tuple[Any, ...]:
    """The records of all answers; each is looked at."""
    if not answers:  # pluggy leaves None out
        raise PluginError(f"{hook} must return a list of {record.__name__}, got None")
    found: dict[tuple[Any, str], Any] = {}
    for answer in answers:
        if not isinstance(answer, Iterable) or isinstance(answer, str):
            raise PluginError(f"{hook} must return a list of {record.__name__}, got {answer!r}")
        for spec in answer:
            _check_record(spec, hook, record, plugin)
            key = (getattr(spec, "kind", None), spec.name)
            if key in found:
                raise PluginError(f"{hook} returns the name {spec.name!r} twice")
            found[key] = spec
    return tuple(found.values())


def _check_record(spec: Any, hook: str, record: type[Any], plugin: Plugin) -> None:
    if not isinstance(spec, record):
        raise PluginError(f"{hook} must return {record.__name__} records, got {spec!r}")
    if spec.api != API:
        raise _IncompatibleError(
            f"{spec.name!r} is written for plugin api {spec.api}; this anyloom has api {API}",
            fix=f"install a version of {plugin.package} for api {API}",
        )


def _leave_out(plugin: Plugin) -> str:
    return f"upgrade or uninstall {plugin.package}, or list only other entry points in {ALLOW_VARIABLE}"


def _cause(error: BaseException, plugin: Plugin) -> str:
    """What went wrong and what to do, in one line."""
    cause, cure = f"{type(error).__name__}: {error}", _leave_out(plugin)
    if isinstance(error, AnyloomError):
        cause, cure = str(error), "" if error.fix else cure
    elif isinstance(error, ImportError):
        cure = f"install what {plugin.package} needs, or {cure}"
    elif isinstance(error, pluggy.PluginValidationError):
        cure = f"its authors: take the arguments that anyloom.discovery.AnyloomHooks names; you: {cure}"
    line = " ".join(cause.split())
    return f"{line.rstrip('.')}. To fix: {cure}" if cure else line


class _StatusError(PluginError):
    """An error with a status of its own."""

    status = "failed"


class _IncompatibleError(_StatusError):
    """A record asks for another plugin api."""

    status = "incompatible"


class _DuplicateError(_StatusError):
    """Another entry point has the same module."""

    status = "duplicate"
