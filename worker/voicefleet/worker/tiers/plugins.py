"""Finds the class of a provider that a tiers file names, and checks its arguments. Nothing is built."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from voicefleet.contract.errors import ConfigError, MissingPartError, Mistakes, UsageError
from voicefleet.contract.parsing.validation import closest
from voicefleet.worker.tiers.schema import Provider


@dataclass(frozen=True, slots=True)
class ResolvedProvider:
    """A provider class that was found and whose arguments fit: `build` gives a new instance."""

    cls: type[Any]
    args: dict[str, Any]

    def build(self) -> Any:
        return self.cls(**self.args)


def find_provider(provider: Provider, field: str, environment: Mapping[str, str]) -> ResolvedProvider:
    """The class that `provider`, which stands at `field` of the tiers file, names.

    Raises:
        MissingPartError: the plugin is not installed.
        ConfigError: there is no such class, an argument is not known, or an environment variable is not set.
    """
    mistakes = Mistakes("the tiers file")
    cls: type[Any] | None = None
    with mistakes.noted():
        cls = _class_of(provider.plugin, f"{field}.plugin")
    args: dict[str, Any] = {}
    for name, value in provider.args.items():
        with mistakes.noted():
            args[name] = value  # so that its name is checked, whatever its value is
            args[name] = _from_environment(value, f"{field}.args.{name}", environment)
    if cls is not None:
        with mistakes.noted():
            _check_arguments(cls, args, f"{field}.args")
    mistakes.refuse()
    assert cls is not None
    return ResolvedProvider(cls, args)


def distribution(module_name: str) -> str:
    """The package to install for a module, as far as its name tells."""
    parts = module_name.split(".")
    if parts[:2] != ["livekit", "plugins"]:
        return parts[0]
    return f"livekit-plugins-{parts[2] if len(parts) > 2 else 'NAME'}"


def _class_of(plugin: str, field: str) -> type[Any]:
    module_name, class_name = plugin.split(":")
    module = _import(module_name, plugin, field)
    cls = getattr(module, class_name, None)
    if inspect.isclass(cls):
        return cls
    close = closest(class_name, [name for name, value in vars(module).items() if inspect.isclass(value)])
    raise ConfigError(
        f"module {module_name} has no class {class_name}",
        field=field,
        value=plugin,
        hint=f"Did you mean {module_name}:{close}?" if close else "Write dotted.module:Class.",
    )


def _import(module_name: str, plugin: str, field: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name != missing and not module_name.startswith(f"{missing}."):
            what, install = f"the plugin needs {missing}, which is not installed", distribution(missing)
        else:
            what, install = f"the plugin is not installed (no module named {missing})", distribution(module_name)
        close = _module_like(module_name)
        hint = (
            f"Did you mean {close}?"
            if close
            else f"Install it (for a livekit plugin: pip install {install}), or name another."
        )
        raise MissingPartError(what, field=field, value=plugin, hint=hint) from error
    except UsageError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the plugin does not import ({type(error).__name__}: {error})",
            field=field,
            value=plugin,
            hint="Correct the plugin, or name another.",
        ) from error


def _module_like(module_name: str) -> str:
    """An installed module whose name differs from `module_name` in its last word alone, and little; empty: none."""
    package_name, _, last = module_name.rpartition(".")
    try:
        places: Iterable[str] | None = importlib.import_module(package_name).__path__ if package_name else None
    except (ImportError, AttributeError):
        return ""
    close = closest(last, {found.name for found in pkgutil.iter_modules(places)} - {last}, cutoff=0.75)
    return f"{package_name}.{close}".lstrip(".") if close else ""


def _check_arguments(cls: type[Any], args: Mapping[str, Any], field: str) -> None:
    signature = inspect.signature(cls)
    try:
        signature.bind(**args)
    except TypeError as error:
        names = [name for name in signature.parameters if name not in ("args", "kwargs")]
        unknown = [name for name in args if name not in names]
        close = closest(unknown[0], names) if unknown else ""
        told = f"It takes: {', '.join(names) or 'none'}."
        raise ConfigError(
            f"{cls.__name__} does not take these arguments ({error})",
            field=field,
            hint=f"Did you mean {close}? {told}" if close else told,
        ) from error


def _from_environment(value: Any, field: str, environment: Mapping[str, str]) -> Any:
    if not (isinstance(value, dict) and set(value) == {"env"}):
        return value
    name = str(value["env"])
    if found := environment.get(name, ""):
        return found
    close = closest(name, [other for other, text in environment.items() if text], cutoff=0.8)
    raise ConfigError(
        f"the environment variable {name} is {'empty' if name in environment else 'not set'}",
        field=field,
        hint=f"Set it. Did you mean {close}?" if close else "Set it, or remove the argument.",
    )
