#!/usr/bin/env python3
"""Runs third-party AMT clients against the simulated machines: PyPI amt, curl's Digest, MeshCentral's AMT code.

The result of a client counts only if the rack's control API reports the same for the machine: its power
state, its boots with the source that each used, and the counters of its requests.

    amt_clients.py http://127.0.0.1:PORT FOLDER-OF-MESHCENTRAL [pypi|curl|meshcentral|all]

Ends with 0 only if every client could be tried and nothing was amiss.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

USER = "admin"
PASSWORD = "Plugfish-Demo1"
# How long a change of power may take with the quick times of tests, and how long one command may run.
CHANGE_WAIT_S = 5
COMMAND_TIME_S = 60
HERE = os.path.dirname(os.path.abspath(__file__))


class Machine:
    """A machine as the control API shows it."""

    def __init__(self, control, name):
        self.url = f"{control}/machines/{name}"
        self.name = name
        self.host, self.port = self.now()["address"].rsplit(":", 1)

    def ask(self, path="", body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
        return text if path == "/certificate" else json.loads(text)

    def order(self, what, **body):
        return self.ask("/" + what, body, "POST")

    def now(self):
        return self.ask()

    def boots(self):
        return self.ask("/boots")

    def counters(self):
        return self.ask("/counters")

    def until(self, wish, what):
        end = time.monotonic() + CHANGE_WAIT_S
        while not what(self.now()):
            assert time.monotonic() < end, f"{self.name}: {wish} did not come true: {self.now()}"
            time.sleep(0.02)

    def ready(self):
        """Waits until nothing is under way and the network is back; the system runs if the machine is on."""
        self.until("rest", lambda now: not now["busy"] and (now["power"] != "on" or now["os"]))
        time.sleep(0.1)


def fresh(machine):
    """On, with quick times, nothing counted."""
    machine.order("timings", quick=True)
    machine.order("quirks")
    machine.order("power", power="on")
    machine.order("os", running=True)
    machine.ready()
    machine.ask("/counters", method="DELETE")


def new_boots(machine, before):
    return [(boot["source"], boot["cause"]) for boot in machine.boots()[before:]]


def pypi_amt12(machine):
    """Power on, off and status, and a boot from the network that is used once."""
    from amt.client import Client
    from amt.wsman import friendly_power_state

    assert machine.port == "16992", f"PyPI amt knows one port only, the machine is on {machine.port}"
    fresh(machine)
    client = Client(machine.host, PASSWORD)
    assert friendly_power_state(client.power_status()) == "on"
    assert client.power_off() == 0
    machine.until("off", lambda now: now["power"] == "soft_off")
    machine.ready()
    assert friendly_power_state(client.power_status()) == "off"
    before = len(machine.boots())
    client.pxe_next_boot()
    assert machine.now()["order"] == "Force PXE Boot" and machine.now()["next"]
    assert client.power_on() == 0
    machine.until("on", lambda now: now["power"] == "on")
    machine.ready()
    assert client.power_cycle() == 0
    machine.until("a second boot", lambda now: now["boots"] == before + 2)
    machine.ready()
    assert new_boots(machine, before) == [("pxe", {"request": 2}), ("normal", {"request": 5})], new_boots(machine, before)
    # The second off: refused while off, and said so.
    machine.order("power", power="soft_off")
    machine.ready()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert client.power_off() is None, "a refused request is not 0"
    assert "ReturnValue>2<" in printed.getvalue(), printed.getvalue()
    counters = machine.counters()
    assert counters["in_flight_max"] == 1 and counters["wrong_passwords"] == 0, counters
    # Each request of this client is a login of its own.
    assert counters["logins"] == counters["requests"] / 2, counters
    import requests

    try:
        Client(machine.host, "wrong").power_status()
        raise AssertionError("a wrong password was taken")
    except requests.HTTPError as error:
        assert error.response.status_code == 401
    assert machine.counters()["wrong_passwords"] >= 1


def pypi_amt16(machine):
    """It does not understand the two words in the qop of newer firmware, and has to fail as it does on real machines."""
    import requests
    from amt.client import Client

    fresh(machine)
    try:
        Client(machine.host, PASSWORD).power_status()
    except (requests.HTTPError, TypeError):
        # The library under it sends no credentials, or falls over them.
        counters = machine.counters()
        assert counters["logins"] == 0 and counters["requests"] >= 1, counters
        return
    raise AssertionError("PyPI amt logged in to AMT 16, which it cannot on real machines: is the challenge still right?")


ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">
<s:Header><a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Get</a:Action><a:To>/wsman</a:To>
<w:ResourceURI>http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_AssociatedPowerManagementService</w:ResourceURI>
<a:MessageID>1</a:MessageID></s:Header><s:Body/></s:Envelope>"""
IDENTIFY = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body><i:Identify
 xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>"""


def curl(machine, body, *options, password=PASSWORD):
    """The status and the answer of one POST. Without a password: without credentials."""
    login = ["--digest", "--user", f"{USER}:{password}"] if password else []
    scheme = "https" if machine.now()["tls"] else "http"
    command = ["curl", "--silent", "--show-error", "--max-time", "10", *login, *options]
    command += ["--header", "Content-Type: application/soap+xml;charset=UTF-8", "--data-binary", body]
    command += ["--write-out", "\n%{http_code} %{num_connects}", f"{scheme}://{machine.host}:{machine.port}/wsman"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIME_S, check=False)
    if done.returncode != 0:
        return 0, done.stderr.strip()
    answer, _, tail = done.stdout.rpartition("\n")
    return int(tail.split()[0]), answer


def element(text, name):
    from xml.etree import ElementTree

    return [one.text for one in ElementTree.fromstring(text).iter() if one.tag.rsplit("}", 1)[-1] == name]


def curl_digest(machine, *options):
    """Identify with and without credentials, a power read, a wrong password."""
    fresh(machine)
    version = machine.now()["version"]
    for password in (None, PASSWORD):
        status, answer = curl(machine, IDENTIFY, *options, password=password)
        assert (status, element(answer, "ProductVersion")) == (200, [f"AMT {version}"]), (status, answer)
    status, answer = curl(machine, ENVELOPE, *options)
    assert (status, element(answer, "PowerState")) == (200, ["2"]), (status, answer)
    assert len(element(answer, "AvailableRequestedPowerStates")) == 8, answer
    machine.order("power", power="soft_off")
    machine.ready()
    status, answer = curl(machine, ENVELOPE, *options)
    assert (status, element(answer, "PowerState")) == (200, ["8"]), (status, answer)
    assert machine.counters()["wrong_passwords"] == 0, machine.counters()
    logins = machine.counters()["logins"]
    assert logins == 3, machine.counters()
    status, answer = curl(machine, ENVELOPE, *options, password="wrong")
    assert status == 401, (status, answer)
    assert machine.counters()["logins"] == logins and machine.counters()["wrong_passwords"] >= 1


def curl_tls(machine):
    """The same over TLS, with the machine's own certificate as the only one that is trusted, and not without it."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
        pem.write(machine.ask("/certificate"))
        pem.flush()
        name = f"{machine.name}.example.com"
        fresh(machine)
        # The name in the certificate is not the address, as with real machines.
        status, why = curl(machine, IDENTIFY, "--cacert", pem.name, password=None)
        assert status == 0 and "name" in why.lower(), f"the certificate is for {name} only: {status} {why}"
        status, why = curl(machine, IDENTIFY, password=None)
        assert status == 0 and "certificate" in why.lower(), (status, why)
        by_name = NamedMachine(machine, name)
        curl_digest(by_name, "--cacert", pem.name, "--resolve", f"{name}:{machine.port}:{machine.host}")


class NamedMachine(Machine):
    """The same machine, called by the name in its certificate."""

    def __init__(self, machine, name):
        self.url, self.name, self.host, self.port = machine.url, machine.name, name, machine.port


def meshcentral(machine, folder, *steps, password=PASSWORD):
    script = os.path.join(HERE, "meshcentral_amt.js")
    command = ["node", script, folder, machine.host, machine.port, USER, password, *steps]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIME_S, check=False)
    assert done.returncode == 0, f"{steps}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def mesh(machine, folder, qop, modules):
    """State, inventory, power, boots with and without an override, logs, and a wrong password."""
    fresh(machine)
    about = machine.now()
    got = meshcentral(machine, folder, "state", "inventory")
    assert (got["version"], got["qop"]) == (about["version"], qop), got
    state, inventory = got["said"]
    assert int(state["power"]) == 2, state
    everything = inventory["all"]
    assert all(everything.values()), {name: bool(value) for name, value in everything.items()}
    chassis = everything["CIM_Chassis"]["Body"]
    assert (chassis["Model"], str(chassis["SerialNumber"])) == (about["model"], about["serial"]), chassis
    guid = everything["CIM_ComputerSystemPackage"]["Body"]["PlatformGUID"]
    uuid = about["uuid"].replace("-", "").upper()
    swapped = uuid[6:8] + uuid[4:6] + uuid[2:4] + uuid[0:2] + uuid[10:12] + uuid[8:10] + uuid[14:16] + uuid[12:14]
    assert str(guid) == swapped + uuid[16:], (guid, uuid)
    assert len(everything["CIM_PhysicalMemory"]) == modules and len(everything["CIM_Chip"]) == modules + 1, everything
    assert len(everything["CIM_PhysicalPackage"]) == 3 and len(everything["CIM_SoftwareIdentity"]) == 10
    assert machine.now()["contexts_open"] == 0
    for step, source in (("boot:Force PXE Boot", "pxe"), ("boot:Force Hard-drive Boot", "hdd"), ("setup", "bios_setup")):
        before = len(machine.boots())
        got = meshcentral(machine, folder, step, "power:10")
        assert [str(value) for value in got["said"][0]["values"]] == ["0", "0", "0"], got
        assert got["said"][0]["put"] == 200 and str(got["said"][1]["value"]) == "0", got
        machine.until("a boot", lambda now: now["boots"] == before + 1 and not now["busy"])
        assert new_boots(machine, before) == [(source, {"request": 10})], (step, new_boots(machine, before))
        time.sleep(0.1)
    got = meshcentral(machine, folder, "power:5")
    machine.until("a cycle", lambda now: now["boots"] == before + 2)
    assert new_boots(machine, before + 1) == [("normal", {"request": 5})], new_boots(machine, before)
    machine.ready()
    got = meshcentral(machine, folder, "power:12")
    assert str(got["said"][0]["value"]) == "0", got
    machine.until("a graceful off", lambda now: now["power"] == "soft_off")
    machine.ready()
    got = meshcentral(machine, folder, "state", "power:10", "log", "audit")
    state, refused, log, audit = got["said"]
    assert (int(state["power"]), str(refused["value"])) == (8, "2"), got
    assert "Entering BIOS setup" in log["records"] and "Starting operating system boot process" in log["records"], log
    # A page of the audit log is all that is asked for here: the oldest is the first.
    assert any("reset" in record.lower() and USER in record for record in audit["records"]), audit
    counters = machine.counters()
    assert counters["in_flight_max"] == 1 and counters["wrong_passwords"] == 0, counters
    got = meshcentral(machine, folder, "power:2", password="wrong")
    assert got["said"][0] == {"status": 401, "value": None}, got
    assert machine.now()["power"] == "soft_off" and machine.counters()["wrong_passwords"] >= 1


def main():
    control, folder, which = sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3]
    amt12, amt16, tls = (Machine(control, name) for name in ("amt-1", "amt-2", "amt-3"))
    cases = [
        ("pypi", "PyPI amt on AMT 12", lambda: pypi_amt12(amt12)),
        ("pypi", "PyPI amt fails on AMT 16", lambda: pypi_amt16(amt16)),
        ("curl", "curl --digest on AMT 12", lambda: curl_digest(amt12)),
        ("curl", "curl --digest on AMT 16", lambda: curl_digest(amt16)),
        ("curl", "curl --digest on AMT 16 over TLS", lambda: curl_tls(tls)),
        ("meshcentral", "MeshCentral on AMT 12", lambda: mesh(amt12, folder, "auth", 2)),
        ("meshcentral", "MeshCentral on AMT 16", lambda: mesh(amt16, folder, "auth-int", 2)),
    ]
    chosen = [(name, case) for kind, name, case in cases if which in ("all", kind)]
    failed = 0
    for name, case in chosen:
        try:
            case()
            print(f"ok      {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {name}")
            traceback.print_exc()
    print(f"{len(chosen)} cases, {failed} failed")
    sys.exit(1 if failed or not chosen else 0)


main()
