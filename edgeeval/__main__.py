"""Run edgeeval as `python -m edgeeval`."""

from edgeeval.cli import main

main()
