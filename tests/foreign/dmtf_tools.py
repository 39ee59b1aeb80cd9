"""Runs DMTF's Redfish tools, unmodified, on demonstrations with plugs and AMT machines, over TLS.

Usage: dmtf_tools.py WORK [--table] [TOOL ...]. WORK has the schemas in `csdl`. Prints the results and the duration
of each tool. Ends with 1 when a failure is not in dmtf_known.toml, when an entry there no longer fails, when a tool does
not finish, or when the table in docs/conformance.md is wrong.
"""

import csv
import fnmatch
import glob
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter, namedtuple
from importlib.metadata import version

import openpyxl

from conformance import settle
from demonstration import PASSWORD, USERNAME, Demo

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.dirname(sys.executable)
# With these there is one node of each kind of device that the service tells apart; the use cases take 20 s for each.
RACK = ["--tls", "--tapo", "2", "--amt", "2"]
PLUG, MACHINE = "node-1", "node-3"
PROFILE = f"{HERE}/schemas/OpenStackIronicProfile.v1_2_0.json"
TOOL_SECONDS = 200
COMMAND_SECONDS = 45
# Tools of one group share a demonstration, one after the other; the groups run side by side.
GROUPS = [["service", "interop", "redfishtool", "rf"], ["protocol"], ["usecase"]]
PACKAGES = {
    "service": "redfish-service-validator",
    "protocol": "redfish-protocol-validator",
    "usecase": "redfish-use-case-checkers",
    "interop": "redfish-interop-validator",
    "redfishtool": "redfishtool",
    "rf": "redfish-utilities",
}
TITLES = {
    "service": "service validator",
    "protocol": "protocol validator",
    "usecase": "use case checkers",
    "interop": "interop validator, OpenStackIronicProfile 1.2.0",
    "redfishtool": "redfishtool, {} commands",
    "rf": "Redfish utilities (rf_*), {} commands",
}

Finding = namedtuple("Finding", "tool result where item message")


class Unfinished(Exception):
    """A tool came to no end, or left no report."""


def run(folder, seconds, program, *arguments):
    """Runs a tool with nothing of this environment; gives its status and what it printed."""
    os.makedirs(folder, exist_ok=True)
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": folder, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, f"{HERE}/loopback_only.py", f"{BIN}/{program}", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return None, f"not at its end after {seconds} s"
    return done.returncode, done.stdout + done.stderr


def report(folder, pattern, said):
    found = glob.glob(f"{folder}/**/{pattern}", recursive=True)
    if len(found) != 1:
        raise Unfinished("no report: " + " / ".join(said.strip().splitlines()[-3:]))
    return found[0]


def sheet(path, title):
    head, *rest = openpyxl.load_workbook(path, read_only=True)[title].iter_rows(values_only=True)
    return [dict(zip(head, row)) for row in rest]


def login(demo):
    return ["--rhost", demo.url, "--user", USERNAME, "--password", PASSWORD]


def service(demo, work):
    folder = f"{work}/service"
    _, said = run(folder, TOOL_SECONDS, "rf_service_validator", *login(demo), "--authtype", "Session", "--skipschema",
                  "--schema_directory", f"{work}/csdl", "--logdir", ".")
    for row in sheet(report(folder, "*.xlsx", said), "Results"):
        yield Finding("service", row["Result"], row["URI"], row["Property"], row["Message"])


def interop(demo, work):
    folder = f"{work}/interop"
    _, said = run(folder, TOOL_SECONDS, "rf_interop_validator", *login(demo), "--authtype", "Session", "--logdir", ".",
                  PROFILE)
    book = report(folder, "*.xlsx", said)
    for row in sheet(book, "Resources"):
        yield Finding("interop", row["Result"], "", row["Resource Type"], row["Message"])
    for row in sheet(book, "Results"):
        yield Finding("interop", row["Result"], row["URI"], row["Property"], row["Message"])


def usecase(demo, work):
    folder = f"{work}/usecase"
    _, said = run(folder, TOOL_SECONDS, "rf_use_case_checkers", *login(demo), "--report-dir", ".")
    for row in sheet(report(folder, "*.xlsx", said), "Results"):
        message = ": ".join(part for part in (row["Operation"], row["Message"]) if part)
        yield Finding("usecase", row["Result"], row["Category"], row["Test Name"], message)


def protocol(demo, work):
    folder = f"{work}/protocol"
    _, said = run(folder, TOOL_SECONDS, "rf_protocol_validator", *login(demo), "--ca-bundle", demo.certificate,
                  "--avoid-http-redirect", "--report-dir", ".", "--report-type", "tsv", "--log-level", "ERROR")
    with open(report(folder, "*.tsv", said), encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            where = f"{row['Method']} {row['URI']}".strip()
            yield Finding("protocol", row["Result"].replace("NOT_TESTED", "SKIP"), where, row["Assertion"], row["Message"])


def commands(tool, work, lines):
    """Runs commands one after the other: each has to end with 0, and without a traceback or an error."""
    for number, line in enumerate(lines):
        name, (program, *arguments) = line
        status, said = run(f"{work}/{tool}/{number}", COMMAND_SECONDS, program, *arguments)
        bad = status != 0 or "Traceback (most recent call last)" in said or re.search("^ERROR:", said, re.MULTILINE)
        message = f"status {status}: " + " / ".join(said.strip().splitlines()[-2:]) if bad else ""
        yield Finding(tool, "FAIL" if bad else "PASS", "", name, message)


def redfishtool(demo, work):
    host = demo.url.removeprefix("https://")
    base = ["redfishtool", "-r", host, "-u", USERNAME, "-p", PASSWORD, "-S", "Always", "-A", "Session"]
    lines = ["versions", "root", "odata", "metadata", "raw GET /redfish/v1/", "raw HEAD /redfish/v1/", "Systems",
             "Systems list", "Systems -a", "Chassis list", "Managers list", "SessionService get",
             "SessionService Sessions", "AccountService get", "AccountService Roles list"]
    for node in (PLUG, MACHINE):
        lines += [f"Systems -I {node}", f"Systems -I {node} Processors list",
                  f"Systems -I {node} EthernetInterfaces list", f"Systems -I {node} reset On",
                  f"Systems -I {node} setBootOverride Once Pxe", f"Systems -I {node} setBootOverride Continuous Hdd",
                  f"Systems -I {node} setBootOverride Disabled None", f"Systems -I {node} reset ForceOff",
                  f"Chassis -I {node}", f"Managers -I {node}"]
    lines += [f"Chassis -I {PLUG} Power", f"Systems -I {MACHINE} Logs list", f"Managers -I {MACHINE} NetworkProtocol",
              f"Managers -I {MACHINE} EthernetInterfaces list"]
    lines += [f"AccountService {word}" for word in (
        "adduser foreign Ripe-figs-4-all Operator", "Accounts list", "useradmin foreign disable",
        "useradmin foreign enable", "useradmin foreign setRoleId ReadOnly", "setpassword foreign Dried-figs-4-all",
        "deleteuser foreign")]
    return commands("redfishtool", work, [(line, base + line.split()) for line in lines])


def rf(demo, work):
    # Nothing about BIOS settings, firmware updates and virtual media: plugfish does not offer them.
    lines = ["sys_inventory --details", "sensor_list", "event_service info", "certificates info", "power_equipment list",
             "raw_request --method GET --request /redfish/v1/Systems", "accounts",
             "accounts --add foreign Ripe-figs-4-all Operator", "accounts --setrole foreign ReadOnly",
             "accounts --disable foreign", "accounts --enable foreign",
             "accounts --setpassword foreign Dried-figs-4-all", "accounts --delete foreign"]
    for node in (PLUG, MACHINE):
        lines += [f"manager_config --manager {node} info", f"manager_config --manager {node} getnet",
                  f"manager_config --manager {node} getprotocol", f"power_reset --system {node} --info",
                  f"power_reset --system {node} --type On", f"power_reset --system {node} --type ForceRestart",
                  f"boot_override --system {node} --info", f"boot_override --system {node} --target Pxe",
                  f"boot_override --system {node} --target None",
                  f"power_reset --system {node} --type ForceOff"]
    lines.append(f"logs --system {MACHINE}")
    login = ["-u", USERNAME, "-p", PASSWORD, "-r", demo.url]

    def command(line):
        program, *rest = line.split()
        return [f"rf_{program}.py", *login, *rest]

    return commands("rf", work, [(line, command(line)) for line in lines])


TOOLS = {"service": service, "protocol": protocol, "usecase": usecase, "interop": interop, "redfishtool": redfishtool,
         "rf": rf}


def group(tools, work, findings, times, troubles):
    try:
        with Demo(*RACK) as demo:
            for tool in tools:
                start = time.monotonic()
                try:
                    findings[tool] = list(TOOLS[tool](demo, work))
                    if not findings[tool]:
                        raise Unfinished("an empty report")
                except Exception as error:  # noqa: BLE001 - whatever a tool does is a finding
                    troubles.append(f"{tool}: {type(error).__name__}: {error}")
                times[tool] = time.monotonic() - start
    except Exception as error:  # noqa: BLE001
        troubles.append(f"{', '.join(tools)}: {error}")


def excused(finding, known):
    return next((entry for entry in known if entry["tool"] == finding.tool
                 and fnmatch.fnmatchcase(finding.item or "", entry["item"])
                 and fnmatch.fnmatchcase(finding.where or "", entry.get("where", "*"))
                 and fnmatch.fnmatchcase(finding.message or "", entry.get("message", "*"))), None)


def show(findings):
    """Prints findings, those that are the same but for where as one."""
    same = {}
    for finding in findings:
        message = re.sub(r"node-\d+", "{node}", finding.message or "").replace("\n", " ")
        where = re.sub(r"node-\d+", "{node}", finding.where or "")
        same.setdefault((finding.tool, finding.result, finding.item, where, message), []).append(finding)
    for (tool, result, item, where, message), every in same.items():
        print(f"{tool} {result} x{len(every)}: {where} {item}: {message[:300]}")


def main():
    work, *words = sys.argv[1:]
    write = "--table" in words
    tools = [word for word in words if word != "--table"] or list(TOOLS)
    with open(f"{HERE}/dmtf_known.toml", "rb") as file:
        known = [entry for entry in tomllib.load(file)["known"] if entry["tool"] in tools]
    findings, times, troubles = {}, {}, []
    chosen = [[tool for tool in every if tool in tools] for every in GROUPS]
    threads = [threading.Thread(target=group, args=(every, work, findings, times, troubles)) for every in chosen if every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    happened, rows = Counter(), [["Tool", "Passed", "Warnings", "Not applicable", "Failed"]]
    for tool in (tool for tool in TOOLS if tool in findings):
        count = Counter(finding.result for finding in findings[tool])
        fails = [finding for finding in findings[tool] if finding.result == "FAIL"]
        reasons = [excused(finding, known) for finding in fails]
        happened.update(known.index(entry) for entry in reasons if entry)
        new = [finding for finding, entry in zip(fails, reasons) if not entry]
        print(f"\n{tool}: {times[tool]:.0f} s, {dict(count)}, {len(new)} of the failures are not known")
        show([finding for finding in findings[tool] if finding.result == "WARN"] + new)
        troubles += [f"{tool}: {len(new)} failures that are not known"] if new else []
        title = TITLES[tool].format(len(findings[tool]))
        failed = "none" if not fails else f"{len(fails)}, all known" if not new else f"{len(fails)}, {len(new)} not known"
        rows.append([f"{PACKAGES[tool]} {version(PACKAGES[tool])}: {title}", count["PASS"], count["WARN"], count["SKIP"],
                     failed])
    for number, entry in enumerate(known):
        if entry["tool"] in findings and not happened[number]:
            troubles.append(f"{entry['tool']}: {entry['item']} fails no more: take it out of dmtf_known.toml")
    reasons = [["Known failure", "Reason"]]
    for entry in known:
        where = f" in `{entry['where']}`" if "where" in entry else ""
        reasons.append([f"{PACKAGES[entry['tool']]}: `{entry['item']}`{where}", entry["reason"]])
    if tools == list(TOOLS) and not (troubles and write):
        for name, table in (("dmtf", rows), ("dmtf known", reasons)):
            if not settle(name, table, write):
                troubles.append(f"the table {name}")
    print("\n" + "\n".join(troubles or ["DMTF's tools find nothing that is not known"]))
    sys.exit(1 if troubles else 0)


main()
