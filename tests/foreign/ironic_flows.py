"""Runs an operator's usual flows in a real Ironic, on a plug node and an AMT node of the demonstration.

Usage: ironic_flows.py WORK [--table]. Each outcome is verified in Ironic's record of the node and in the simulated device,
through the rack's control API, without plugfish. Prints a table of flows. Ends with 1 when a flow failed, or when the table
in docs/conformance.md is wrong.
"""

import functools
import http.server
import io
import json
import sys
import threading
import time
import urllib.request
from importlib.metadata import version

import pycdlib

from conformance import settle
from demonstration import PASSWORD, USERNAME, Demo
from ironic_service import SYNC_SECONDS, Ironic, Refused, free_port

FLOW_SECONDS = 90
IDLE_SECONDS = 3 * SYNC_SECONDS
SYSTEMS = "/redfish/v1/Systems"
FLOWS = []


class Failed(Exception):
    """A flow did not come to what it should."""


class NotOffered(Exception):
    """The node does not say that it can do this."""


def flow(name):
    def add(run):
        FLOWS.append((name, run))
        return run

    return add


def ask(url, body=None):
    """The rack's control API: an order when there is a body."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def until(what, holds, seconds=FLOW_SECONDS):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.4)


class Plug:
    """What is behind the node, as the rack knows it."""

    kind, node = "plug", "node-1"

    def __init__(self, demo):
        self.demo = demo

    def order(self, what, body):
        return ask(f"{self.demo.control}/plugs/plug-1/{what}", body)

    def is_on(self):
        return ask(f"{self.demo.control}/plugs/plug-1")["outlets"][0]["on"]

    def boots(self):
        """How often power came, and what the last boot started from: a plug does not see that."""
        return ask(f"{self.demo.control}/plugs/plug-1")["outlets"][0]["power_ons"], None

    def switch_behind(self):
        self.order("switch", {"outlet": 1, "on": not self.is_on()})

    def wakes(self):
        return False


class Machine:
    """What is behind the node, as the rack knows it."""

    kind, node = "AMT", "node-2"

    def __init__(self, demo):
        self.demo = demo

    def order(self, what, body):
        return ask(f"{self.demo.control}/machines/amt-1/{what}", body)

    def is_on(self):
        return ask(f"{self.demo.control}/machines/amt-1")["power"] == "on"

    def boots(self):
        boots = ask(f"{self.demo.control}/machines/amt-1/boots")
        return len(boots), boots[-1]["source"] if boots else None

    def switch_behind(self):
        self.order("power", {"power": "soft_off" if self.is_on() else "on"})

    def wakes(self):
        self.order("os", {"running": True})
        return True


class Node:
    """A node in Ironic, and the device that is behind it."""

    def __init__(self, ironic, device, image):
        self.ironic, self.device, self.image = ironic, device, image
        address = {"redfish_address": device.demo.url, "redfish_system_id": f"{SYSTEMS}/{device.node}",
                   "redfish_username": USERNAME, "redfish_password": PASSWORD}
        made = ironic.call("POST", "/v1/nodes", {
            "name": device.node, "driver": "redfish", "driver_info": address, "network_interface": "noop",
            "boot_interface": "ipxe", "deploy_interface": "ramdisk", "inspect_interface": "redfish",
            "bios_interface": "no-bios", "firmware_interface": "redfish"})
        self.path = f"/v1/nodes/{made['uuid']}"
        self.uuid = made["uuid"]

    def call(self, method, rest="", body=None):
        return self.ironic.call(method, self.path + rest, body)

    def system(self):
        return self.device.demo.ask(f"{SYSTEMS}/{self.device.node}")

    def offers(self, reset):
        return reset in self.system()["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"]

    def wake(self, reset):
        """An operating system runs again, if the node can see one: a boot of these flows starts none."""
        if not self.device.wakes():
            if self.offers(reset):
                raise Failed(f"{reset} is offered, and nothing could obey it")
            raise NotOffered
        until(f"{reset} offered", lambda: self.offers(reset))

    def settled(self):
        """The node, when none of Ironic's tasks holds it."""
        while (node := self.call("GET"))["reservation"]:
            time.sleep(0.3)
        return node

    def power(self, order, on, boots):
        """Has Ironic order it, and looks for its end in Ironic, in the device, and for a boot or none."""
        before = self.device.boots()[0]
        self.settled()
        self.call("PUT", "/states/power", {"target": order, "timeout": FLOW_SECONDS})
        until(order, lambda: not self.settled()["target_power_state"])
        node = self.settled()
        if node["last_error"]:
            raise Failed(node["last_error"])
        # Ironic sees no end of a restart that the operating system does.
        until(f"{boots} boots more than {before}", lambda: self.device.boots()[0] >= before + boots)
        self.agree(on)
        if self.device.boots()[0] != before + boots:
            raise Failed(f"{self.device.boots()[0] - before} boots, not {boots}")

    def agree(self, on):
        node, real = self.settled(), self.device.is_on()
        if (node["power_state"], real) != ("power on" if on else "power off", on):
            raise Failed(f"Ironic says {node['power_state']}, the device is {'on' if real else 'off'}")

    def provision(self, target, end, **more):
        self.settled()
        self.call("PUT", "/states/provision", {"target": target, **more})
        limit = time.monotonic() + FLOW_SECONDS
        while time.monotonic() < limit:
            node = self.settled()
            if node["provision_state"] == end:
                return node
            if "fail" in node["provision_state"] or node["provision_state"] in ("enroll", "error"):
                raise Failed(f"{node['provision_state']}: {node['last_error']}")
            time.sleep(0.4)
        raise Failed(f"still {node['provision_state']}: {node['last_error']}")


@flow("manage")
def manage(node):
    state = node.provision("manage", "manageable")
    node.agree(state["power_state"] == "power on")


@flow("validate")
def validate(node):
    said = node.call("GET", "/validate")
    # The boot and deploy interfaces ask for an image only when it comes to a deployment.
    bad = {name: said[name]["reason"] for name in ("power", "management", "inspect", "firmware", "network")
           if not said[name]["result"]}
    if bad:
        raise Failed(str(bad))


@flow("power off")
def power_off(node):
    node.power("power off", False, 0)


@flow("power on")
def power_on(node):
    node.power("power on", True, 1)


@flow("reboot")
def reboot(node):
    node.power("rebooting", True, 1)


@flow("soft power off")
def soft_off(node):
    node.wake("GracefulShutdown")
    node.power("soft power off", False, 0)
    node.power("power on", True, 1)


@flow("soft reboot")
def soft_reboot(node):
    node.wake("GracefulRestart")
    node.power("soft rebooting", True, 1)


@flow("inspect")
def inspect(node):
    node.provision("inspect", "manageable")
    inventory = node.call("GET", "/inventory")["inventory"]
    ports = node.ironic.call("GET", f"/v1/ports?node={node.uuid}")["ports"]
    # AMT does not say how many cores there are.
    if not ports or not inventory["cpu"]["architecture"] or not inventory["memory"]["physical_mb"]:
        raise Failed(f"{len(ports)} ports, {inventory}")


def boot_device(device, target, persistent):
    def run(node):
        node.settled()
        node.call("PUT", "/management/boot_device", {"boot_device": device, "persistent": persistent})
        boot, said = node.system()["Boot"], node.call("GET", "/management/boot_device")
        enabled = "Continuous" if persistent else "Once"
        if (boot["BootSourceOverrideTarget"], boot["BootSourceOverrideEnabled"]) != (target, enabled):
            raise Failed(f"the service says {boot}")
        if (said["boot_device"], said["persistent"]) != (device, persistent):
            raise Failed(f"Ironic reads {said}")
        node.power("rebooting", True, 1)
        source = node.device.boots()[1]
        if source not in (None, {"Pxe": "pxe", "Hdd": "hdd"}[target]):
            raise Failed(f"the device started from {source}")
        left = node.system()["Boot"]["BootSourceOverrideEnabled"]
        if left != ("Continuous" if persistent else "Disabled"):
            raise Failed(f"{left} after the boot")

    return run


for word, wanted in (("pxe", "Pxe"), ("disk", "Hdd")):
    for lasting in (False, True):
        flow(f"boot device {word}, {'persistent' if lasting else 'once'}")(boot_device(word, wanted, lasting))


@flow("provide")
def provide(node):
    node.provision("provide", "available")


@flow("deploy over iPXE")
def deploy(node):
    before = node.device.boots()[0]
    node.call("PATCH", "", [
        {"op": "add", "path": "/instance_info/boot_iso", "value": node.image},
        {"op": "add", "path": "/instance_info/capabilities", "value": {"boot_option": "ramdisk"}}])
    node.provision("active", "active")
    node.agree(True)
    boots, source = node.device.boots()
    if boots == before or source not in (None, "pxe"):
        raise Failed(f"{boots - before} boots, the last from {source}")


@flow("undeploy")
def undeploy(node):
    node.provision("deleted", "available")
    node.agree(False)


@flow("idle: the power is read, no session leaks")
def idle(node):
    def sessions():
        return node.device.demo.ask("/redfish/v1/SessionService/Sessions")["Members@odata.count"]

    node.agree(False)
    before, boots = sessions(), node.device.boots()
    time.sleep(IDLE_SECONDS)
    node.agree(False)
    if sessions() > before or node.device.boots() != boots or node.settled()["maintenance"]:
        raise Failed(f"sessions {before} to {sessions()}, boots {boots} to {node.device.boots()}")


@flow("power changed outside of Ironic, and corrected")
def drift(node):
    node.device.switch_behind()
    until("on, behind Ironic's back", node.device.is_on, 10)
    until("off again", lambda: not node.device.is_on())
    until("off in Ironic", lambda: node.settled()["power_state"] == "power off")
    if node.settled()["maintenance"]:
        raise Failed("in maintenance")


def run_flows(node, results):
    for name, run in FLOWS:
        start = time.monotonic()
        try:
            run(node)
            outcome, said = "ok", ""
        except NotOffered:
            outcome, said = "not offered", ""
        except (Failed, Refused, OSError, KeyError) as error:
            outcome, said = "FAILED", f"{type(error).__name__}: {error}"
        results[name, node.device.kind] = outcome
        print(f"{node.device.kind:<5} {name:<45} {outcome:<12} {time.monotonic() - start:5.1f} s  {said}", flush=True)
        if name == "manage" and outcome != "ok":
            return


def outage(nodes, demo, results):
    """The service ends, and is there again with none of the sessions that Ironic has."""
    def step(name, holds):
        for node in nodes:
            start = time.monotonic()
            try:
                until(name, functools.partial(holds, node))
                outcome, said = "ok", ""
            except (Failed, Refused) as error:
                outcome, said = "FAILED", str(error)
            results[name, node.device.kind] = outcome
            took = time.monotonic() - start
            print(f"{node.device.kind:<5} {name:<45} {outcome:<12} {took:5.1f} s  {said}", flush=True)

    def agrees(node):
        said = node.settled()
        return not said["maintenance"] and said["power_state"] == ("power on" if node.device.is_on() else "power off")

    demo.__exit__()
    step("outage: in maintenance", lambda node: node.settled()["fault"] == "power failure")
    demo.__enter__()
    step("recovery", agrees)


def image(folder):
    """An image that nothing boots from; Ironic looks into it."""
    made = pycdlib.PyCdlib()
    made.new(interchange_level=3)
    text = b"nothing boots from here\n"
    made.add_fp(io.BytesIO(text), len(text), "/README.TXT;1")
    made.write(f"{folder}/judge.iso")
    made.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the image without a word."""

    def log_message(self, *_):
        pass


def main():
    work, *words = sys.argv[1:]
    image(work)
    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=work))
    threading.Thread(target=files.serve_forever, daemon=True).start()
    where = f"http://127.0.0.1:{files.server_address[1]}"
    results, start = {}, time.monotonic()
    with Demo("--tapo", "1", "--amt", "1", listen=f"127.0.0.1:{free_port()}") as demo, Ironic(work, work, where) as ironic:
        print(f"Ironic {version('ironic')} is there after {time.monotonic() - start:.0f} s", flush=True)
        nodes = [Node(ironic, device(demo), f"{where}/judge.iso") for device in (Plug, Machine)]
        threads = [threading.Thread(target=run_flows, args=(node, results)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outage(nodes, demo, results)
        if "FAILED" in results.values():
            print(ironic.log(), file=sys.stderr)
    files.shutdown()
    kinds = [Plug.kind, Machine.kind]
    names = list(dict.fromkeys(name for name, _ in results))
    rows = [["Flow", *(f"{kind} node" for kind in kinds)]]
    rows += [[name, *(results.get((name, kind), "FAILED") for kind in kinds)] for name in names]
    bad = sum(cell == "FAILED" for row in rows for cell in row)
    print(f"{len(names)} flows on {len(nodes)} nodes, {bad} failed, {time.monotonic() - start:.0f} s")
    sys.exit(0 if not bad and settle("ironic", rows, "--table" in words) else 1)


main()
