"""Starts `plugfish demo` for a test, and ends it by its process id."""

import base64
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

USERNAME = "admin"
PASSWORD = "plugfish-demo"
START_SECONDS = 30
STOP_SECONDS = 10
JUDGE_SECONDS = 300


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
        try:
            self.wait_for_devices()
        except BaseException:
            self.__exit__()
            raise
        return self

    def ask(self, path):
        """A resource of the service, as the administrator reads it."""
        login = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Basic {login}"})
        trust = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return json.load(answer)

    def wait_for_devices(self):
        """Until the daemon has read what each device says of itself: a judge is to see all of it."""
        end = time.monotonic() + START_SECONDS
        while not all(self.is_read(member["@odata.id"]) for member in self.ask("/redfish/v1/Systems")["Members"]):
            if time.monotonic() > end:
                raise RuntimeError(f"not all devices were read within {START_SECONDS} s:\n{self.log()}")
            time.sleep(0.2)

    def is_read(self, path):
        """Whether a node has what comes last: of a machine its drives, of a plug with a meter its watts."""
        system, chassis, manager = (self.ask(path.replace("Systems", kind)) for kind in ("Systems", "Chassis", "Managers"))
        if not system.get("PowerState"):
            return False
        if system.get("Manufacturer") == "plugfish":
            return manager.get("Model") == "P100" or "Power" in chassis
        return "SimpleStorage" in system and "Memory" in system

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


def main():
    """`demonstration.py ARGUMENTS... -- PROGRAM`: runs a program with a demonstration, and ends with its status."""
    split = sys.argv.index("--")
    with Demo(*sys.argv[1:split]) as demo:
        judge = [*sys.argv[split + 1 :], demo.url, demo.control, USERNAME, PASSWORD]
        sys.exit(subprocess.run(judge, stdin=subprocess.DEVNULL, timeout=JUDGE_SECONDS, check=False).returncode)


if __name__ == "__main__":
    main()
