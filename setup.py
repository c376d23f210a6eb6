"""Compile the Cython modules. Everything else is declared in pyproject.toml.

Every ``.pyx`` in any folder below ``venuemesh/`` is compiled; each may include the headers of
``orderbook/``. ``VENUEMESH_BOUNDSCHECK=1`` builds with bounds and wraparound checks on, for the tests of the book; an
``-O`` in ``CFLAGS`` replaces ours, and a ``-g`` in it adds debug symbols, which cost a fifth of the compilation.

What is compiled in place is kept below ``build/`` and used again by an editable installation.
"""

import os
import sysconfig
import time
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CHECKED = os.environ.get("VENUEMESH_BOUNDSCHECK") == "1"
OPTIMIZE = [] if "-O" in os.environ.get("CFLAGS", "") else ["-O1" if CHECKED else "-O3"]
SYMBOLS = [] if "-g" in os.environ.get("CFLAGS", "") else ["-g0"]
CORES = os.cpu_count() or 1
PACKAGE = Path("venuemesh")
ORDERBOOK = PACKAGE / "orderbook"


def sources(suffix: str) -> list[Path]:
    """Files below the package, the largest first; links are followed (its folders are links).

    Modules are compiled side by side in this order, and a large one at the end would be compiled alone.
    """
    found = [
        Path(folder, name)
        for folder, _, names in os.walk(PACKAGE, followlinks=True)
        for name in names
        if name.endswith(suffix)
    ]
    return sorted(found, key=lambda path: (-path.stat().st_size, path))


class BuildCore(build_ext):
    """Translate to C when the modules are built, and not for every other command, such as the source distribution."""

    def finalize_options(self) -> None:
        if self.inplace or self.editable_mode:
            kept = f"build/in-place{sysconfig.get_config_var('EXT_SUFFIX')}"
            self.build_lib = self.build_temp = kept
        super().finalize_options()

    def build_extensions(self) -> None:
        translated = cythonize(
            list(self.extensions),
            compiler_directives={
                "language_level": 3,
                "boundscheck": CHECKED,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": CHECKED,
                "embedsignature": True,
            },
            nthreads=CORES,
        )
        for extension, made in zip(self.extensions, translated, strict=True):
            extension.sources = made.sources
        super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        """Compile one module, and say so; compilation takes half a minute, and `--quiet` silences all else."""
        built = Path(self.get_ext_fullpath(extension.name))
        before = built.stat().st_mtime_ns if built.exists() else 0
        began = time.monotonic()
        super().build_extension(extension)
        if built.stat().st_mtime_ns != before:
            print(f"  {extension.name}: compiled in {time.monotonic() - began:.1f} s", flush=True)


setup(
    cmdclass={"build_ext": BuildCore},
    ext_modules=[
        Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            include_dirs=[str(ORDERBOOK)],
            extra_compile_args=[*OPTIMIZE, *SYMBOLS, "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"],
            depends=[str(header) for header in sources(".h")],
        )
        for source in sources(".pyx")
    ],
    options={"build_ext": {"parallel": CORES}},
)
