"""What is installed here: without it a number cannot be had again."""

import platform
from contextlib import suppress
from importlib import metadata

PACKAGES = ("torch", "transformers", "accelerate", "peft", "lm-eval", "numpy", "pandas", "gradio", "plotly")


def versions() -> dict[str, str]:
    """{package: version} of what is installed here; costs no import."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
