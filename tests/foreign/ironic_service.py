"""A real Ironic in one process, on loopback: its configuration, its start and end, and a thin client of its API.

Standalone: no login, no message queue, no image service, a database in a file. Other
deviations from the defaults are explained at their lines.
"""

import configparser
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

BIN = os.path.dirname(sys.executable)
START_SECONDS = 90
STOP_SECONDS = 15
SYNC_SECONDS = 10

SETTINGS = {
    "DEFAULT": {
        "auth_strategy": "noauth",
        "my_ip": "127.0.0.1",
        "rpc_transport": "none",
        "transport_url": "fake://",
        "use_stderr": "true",
        "enabled_hardware_types": "redfish",
        "enabled_bios_interfaces": "no-bios",
        "enabled_boot_interfaces": "ipxe",
        "enabled_console_interfaces": "no-console",
        "enabled_deploy_interfaces": "ramdisk",
        "enabled_firmware_interfaces": "redfish,no-firmware",
        "enabled_inspect_interfaces": "redfish",
        "enabled_management_interfaces": "redfish",
        "enabled_network_interfaces": "noop",
        "enabled_power_interfaces": "redfish",
        "enabled_raid_interfaces": "no-raid",
        "enabled_rescue_interfaces": "no-rescue",
        "enabled_storage_interfaces": "noop",
        "enabled_vendor_interfaces": "redfish,no-vendor",
    },
    "api": {"host_ip": "127.0.0.1", "api_workers": "1"},
    "dhcp": {"dhcp_provider": "none"},
    "deploy": {"default_boot_mode": "uefi"},
    "conductor": {
        # There is no agent in a simulated node that could clean it.
        "automated_clean": "false",
        # Quicker than the minute that is the default, as is giving a node up.
        "sync_power_state_interval": str(SYNC_SECONDS),
        "power_state_sync_max_retries": "1",
        "power_failure_recovery_interval": "5",
        "force_power_state_during_sync": "true",
        "graceful_shutdown_timeout": "2",
    },
    # One try is ten by sushy itself already.
    "redfish": {"connection_attempts": "1"},
    "oslo_messaging_notifications": {"driver": "noop", "transport_url": "fake://"},
    "service_catalog": {"auth_type": "none"},
}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Refused(Exception):
    """What Ironic answered instead of doing it."""


class Ironic:
    """A running Ironic; leave the `with` block and it is gone."""

    def __init__(self, work, image_root, image_url):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = f"{work}/ironic.log"
        self.configuration = f"{work}/ironic.conf"
        settings = configparser.RawConfigParser(default_section="")
        settings.read_dict(SETTINGS)
        settings.read_dict({
            "DEFAULT": {"host": "judge", "state_path": f"{work}/state", "tempdir": f"{work}/tmp"},
            "api": {"port": self.port, "public_endpoint": self.url},
            "database": {"connection": f"sqlite:///{work}/ironic.sqlite?timeout=60", "sqlite_synchronous": "false"},
            "deploy": {"http_root": image_root, "http_url": image_url},
            "pxe": {"tftp_root": f"{work}/tftp", "tftp_master_path": f"{work}/tftp/master",
                    "instance_master_path": f"{work}/master", "images_path": f"{work}/images"},
            "service_catalog": {"endpoint_override": self.url},
        })
        for folder in ("state", "tmp", "tftp/master", "master", "images"):
            os.makedirs(f"{work}/{folder}")
        with open(self.configuration, "w", encoding="utf-8") as file:
            settings.write(file)
        self.environment = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": work, "NO_PROXY": "*"}

    def __enter__(self):
        with open(self.log_path, "ab") as log:
            common = {"stdout": log, "stderr": log, "env": self.environment}
            subprocess.run([f"{BIN}/ironic-dbsync", "--config-file", self.configuration, "create_schema"],
                           check=True, timeout=START_SECONDS, **common)
            self.process = subprocess.Popen([f"{BIN}/ironic", "--config-file", self.configuration],
                                            start_new_session=True, **common)
        end = time.monotonic() + START_SECONDS
        while not self.serves():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise RuntimeError("Ironic did not start:\n" + self.log())
            time.sleep(0.5)
        return self

    def serves(self):
        try:
            return any(driver["name"] == "redfish" for driver in self.call("GET", "/v1/drivers")["drivers"])
        except (OSError, Refused):
            return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def __exit__(self, *_):
        # The process group is its own: it began with a session of its own.
        for order, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, order)
                self.process.wait(seconds)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def call(self, method, path, body=None):
        """Asks the API; waits for a node that one of Ironic's own tasks holds."""
        for _ in range(30):
            request = urllib.request.Request(self.url + path, method=method, headers={
                "X-OpenStack-Ironic-API-Version": "1.95", "Content-Type": "application/json"})
            data = None if body is None else json.dumps(body).encode()
            try:
                with urllib.request.urlopen(request, data, timeout=60) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")
                if "is locked by host" not in said:
                    raise Refused(f"{method} {path}: {error.code} {said[:300]}") from None
            time.sleep(1)
        raise Refused(f"{method} {path}: the node stays locked")
