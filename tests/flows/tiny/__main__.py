"""``python -m tiny``: the command line over the small stages."""

import tiny
from flows import cli

tiny.install()
cli.main()
