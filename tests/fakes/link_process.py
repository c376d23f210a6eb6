"""A node with a book and a link, in a separate process: `python -m tests.fakes.link_process DIRECTORY COUNTER`.

The book moves 200 times a second. Prints where the link listens, as JSON, then runs until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.fakes.context import context_of
from tests.fakes.link_stage import Writer
from venuemesh.actors.cell.pulse import PERIOD_S
from venuemesh.actors.link.role import LinkRole
from venuemesh.actors.link.settings import LinkSettings


async def main(directory: Path, counter: int) -> None:
    writer = Writer(directory, (1, counter))
    link = LinkRole(LinkSettings(), context_of("link/l", segments=directory))
    await link.start()
    where = await link.handle("where", None)
    print(json.dumps({"port": where["port"], "secret": where["secret"].hex()}), flush=True)
    sequence = 0
    while True:
        for _ in range(10):
            sequence += 1
            writer.say(sequence)
            await asyncio.sleep(PERIOD_S / 10)
        writer.segment.beat()
        link.beat()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
