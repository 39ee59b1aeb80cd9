"""Runs third-party Redfish clients on the demonstration's rack: sushy (what Ironic uses) and DMTF's redfishtool.

Usage: redfish_clients.py URL USERNAME PASSWORD. Prints a table; ends with 1 when anything failed.
"""

import json
import subprocess
import sys
import time

import sushy
import sushy.auth

URL, USERNAME, PASSWORD = sys.argv[1:4]
NODES = ["node-1", "node-2", "node-3", "node-4"]
rows = []


def case(client, what, run):
    start = time.monotonic()
    try:
        said = run()
        rows.append((client, what, "ok", said or "", time.monotonic() - start))
    except Exception as error:  # noqa: BLE001 - whatever a client throws is a finding
        rows.append((client, what, "FAILED", f"{type(error).__name__}: {error}", time.monotonic() - start))


def until(what, holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def by_sushy(auth, name):
    root = sushy.Sushy(URL, auth=auth, verify=False)
    for node in NODES:
        path = f"/redfish/v1/Systems/{node}"

        def fresh():
            return root.get_system(path)

        def inventory():
            system = fresh()
            assert system.memory_summary.size_gib == 16
            assert len(system.processors.get_members()) == 1
            assert system.processors.summary.count == 4, system.processors.summary
            assert list(system.ethernet_interfaces.summary), "no MAC address"
            assert system.managers[0].identity == node and system.chassis[0].identity == node
            return system.model

        def boot():
            for enabled in (sushy.BOOT_SOURCE_ENABLED_ONCE, sushy.BOOT_SOURCE_ENABLED_CONTINUOUS):
                fresh().set_system_boot_options(target=sushy.BOOT_SOURCE_TARGET_PXE, enabled=enabled)
                shown = fresh().boot
                assert (shown.target, shown.enabled) == (sushy.BOOT_SOURCE_TARGET_PXE, enabled), shown
            fresh().set_system_boot_options(enabled=sushy.BOOT_SOURCE_ENABLED_DISABLED)

        def power():
            for reset, state in (
                (sushy.RESET_TYPE_FORCE_OFF, sushy.POWER_STATE_OFF),
                (sushy.RESET_TYPE_ON, sushy.POWER_STATE_ON),
            ):
                fresh().reset_system(reset)
                until(f"{node} {reset}", lambda: fresh().power_state == state)

        case(name, f"{node} inventory", inventory)
        case(name, f"{node} boot override", boot)
        case(name, f"{node} off and on", power)

    def wrong():
        other = sushy.auth.BasicAuth(USERNAME, "wrong")
        try:
            sushy.Sushy(URL, auth=other, verify=False).get_system("/redfish/v1/Systems/node-1")
        except sushy.exceptions.AccessError:
            return
        raise AssertionError("a wrong password was let in")

    case(name, "wrong password", wrong)


def by_redfishtool(*arguments):
    host = URL.removeprefix("http://")
    command = ["redfishtool", "-r", host, "-u", USERNAME, "-p", PASSWORD, "-S", "Never", "-A", "Basic", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def tool_reads():
    system = by_redfishtool("Systems", "-I", "node-1")
    assert system["PowerState"] in ("On", "Off"), system
    by_redfishtool("Chassis", "-I", "node-1", "Power")
    by_redfishtool("Managers", "-I", "node-1")
    by_redfishtool("Systems", "-I", "node-1", "Processors")
    by_redfishtool("Systems", "-I", "node-1", "EthernetInterfaces")


def tool_switches():
    for reset, state in (("ForceOff", "Off"), ("On", "On"), ("ForceRestart", "On")):
        by_redfishtool("Systems", "-I", "node-2", "reset", reset)
        until(reset, lambda: by_redfishtool("Systems", "-I", "node-2")["PowerState"] == state)


def tool_boots():
    by_redfishtool("Systems", "-I", "node-3", "setBootOverride", "Once", "Pxe")
    boot = by_redfishtool("Systems", "-I", "node-3")["Boot"]
    assert (boot["BootSourceOverrideEnabled"], boot["BootSourceOverrideTarget"]) == ("Once", "Pxe"), boot
    by_redfishtool("Systems", "-I", "node-3", "setBootOverride", "Disabled", "None")


def main():
    until("all nodes seen", lambda: all(
        sushy.Sushy(URL, auth=sushy.auth.BasicAuth(USERNAME, PASSWORD), verify=False)
        .get_system(f"/redfish/v1/Systems/{node}").power_state for node in NODES))
    by_sushy(sushy.auth.BasicAuth(USERNAME, PASSWORD), "sushy, Basic")
    by_sushy(sushy.auth.SessionAuth(USERNAME, PASSWORD), "sushy, session")
    case("redfishtool", "reads", tool_reads)
    case("redfishtool", "off, on, restart", tool_switches)
    case("redfishtool", "boot override", tool_boots)
    for client, what, result, said, took in rows:
        print(f"{client:<15} {what:<24} {result:<7} {took:5.1f} s  {said}")
    failed = [row for row in rows if row[2] != "ok"]
    print(f"{len(rows) - len(failed)} of {len(rows)} as they should be")
    sys.exit(1 if failed or len(rows) < 29 else 0)


main()
