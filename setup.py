"""Compile the Cython core. Everything else is declared in pyproject.toml.

``VENUEMESH_BOUNDSCHECK=1`` builds with bounds and wraparound checks on, for the tests of the core.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CHECKED = os.environ.get("VENUEMESH_BOUNDSCHECK") == "1"
ORDERBOOK = Path("venuemesh", "orderbook")

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                extra_compile_args=[
                    "-O1" if CHECKED else "-O3",
                    "-fno-strict-aliasing",
                    "-Wall",
                    "-Wno-unused-function",
                ],
                depends=[str(header) for header in sorted(ORDERBOOK.glob("*.h"))],
            )
            for source in sorted(ORDERBOOK.glob("*.pyx"))
        ],
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": CHECKED,
            "embedsignature": True,
        },
    )
)
