"""Runs an unmodified Python program, and restricts its connections to this machine.

Usage: loopback_only.py PROGRAM ARGUMENTS... DMTF's protocol validator would otherwise search the whole network
for services, by multicast, and test those that it finds.
"""

import runpy
import sys

HERE = ("127.", "::1", "localhost")


def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not str(address[0]).startswith(HERE):
            raise OSError(f"only this machine may be reached, not {address[0]}")


sys.addaudithook(watch)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
