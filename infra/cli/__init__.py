"""The command line: `horae run` and its processes, and a client of the API for people and scripts.

Place in the flow: the outermost layer. One module per group of commands, each with a `register(app)`; `main` joins
them.
"""

import time

#: When this process began, as early as our code can tell: the imports that follow are part of a start.
BEGAN = time.monotonic()
