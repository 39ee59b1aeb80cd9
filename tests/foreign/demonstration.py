"""Starts `plugfish demo` for a judge, and ends it by its process id.

Knows nothing of what is judged.
"""

import os
import re
import subprocess
import tempfile
import threading

USERNAME = "admin"
PASSWORD = "plugfish-demo"
START_SECONDS = 30
STOP_SECONDS = 10


class Demo:
    """A running demonstration; leave the `with` block and it is gone."""

    def __init__(self, *arguments, listen="127.0.0.1:0"):
        self.arguments = arguments
        self.listen = listen

    def __enter__(self):
        target = os.environ.get("CARGO_TARGET_DIR", "target")
        command = [f"{target}/debug/plugfish", "demo", "--listen", self.listen, "--rack-control", "127.0.0.1:0"]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*command, *self.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        alarm = threading.Timer(START_SECONDS, self.process.kill)
        alarm.start()
        said = ""
        for line in self.process.stdout:
            said += line
            if " status --url " in line:
                break
        alarm.cancel()
        found = re.search(r"^Redfish: (https?://[0-9.:]+)/redfish/v1/", said, re.MULTILINE)
        if not found or " status --url " not in said:
            self.__exit__()
            raise RuntimeError(f"the demonstration did not start:\n{said}{self.log()}")
        self.url = found[1]
        self.control = re.search(r"at (http://[0-9.:]+)/plugs", said)[1]
        certificate = re.search(r"--cacert (\S+)", said)
        self.certificate = certificate and certificate[1]
        return self

    def log(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
