"""A real Prometheus scrapes the demonstration, and its data is compared with the state of the rack.

The alerts are those of packaging/prometheus/rules.yaml, in a copy that waits for seconds instead of minutes. Every
expression of the dashboard is evaluated too.
"""

import base64
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from demonstration import PASSWORD, USERNAME, Demo

PACKAGING = pathlib.Path("packaging")
WAIT_SECONDS = 30
# Of the demonstration, which polls every 5 s: a reading, and of a plug that measures a second one for the meter.
POLL_REQUESTS_A_MINUTE = 24


def fetch(url, headers=(), body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers))
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers.get_content_type(), answer.read().decode()


def say(what):
    print(f"ok: {what}", flush=True)


def wait_for(what, holds):
    """Until `holds` gives something true, which is returned."""
    end = time.monotonic() + WAIT_SECONDS
    while not (found := holds()):
        if time.monotonic() > end:
            raise SystemExit(f"not within {WAIT_SECONDS} s: {what}")
        time.sleep(0.25)
    say(what)
    return found


def promtool(*arguments, **options):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60, **options)
    if done.returncode or done.stderr.strip():
        raise SystemExit(f"promtool {' '.join(arguments)} is not content:\n{done.stdout}{done.stderr}")
    say(f"promtool {' '.join(arguments)}")


class Prometheus:
    """A running Prometheus that scrapes one address every second."""

    def __init__(self, target):
        self.target = target

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        rules = (PACKAGING / "prometheus/rules.yaml").read_text()
        quick, count = re.subn(r"for: (\d+)m$", "for: 3s", rules, flags=re.MULTILINE)
        assert count >= 3, "the rules wait for no minutes"
        (folder / "rules.yaml").write_text(quick)
        (folder / "prometheus.yml").write_text(
            "global: { scrape_interval: 1s, evaluation_interval: 1s }\n"
            "rule_files: [rules.yaml]\n"
            "scrape_configs:\n"
            f"  - {{ job_name: plugfish, static_configs: [{{ targets: ['{self.target}'] }}] }}\n"
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.errors,
            stderr=self.errors,
        )
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            self.errors.seek(0)
            raise SystemExit(f"Prometheus ended:\n{self.errors.read().decode(errors='replace')}")
        try:
            fetch(f"{self.url}/-/ready")
        except OSError:
            return False
        return True

    def api(self, path):
        answer = json.loads(fetch(f"{self.url}/api/v1/{path}")[1])
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        """The samples of an instant: labels and value."""
        result = self.api("query?" + urllib.parse.urlencode({"query": expression}))["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def value(self, expression):
        samples = self.query(expression)
        return samples[0][1] if len(samples) == 1 else None

    def firing(self, alert, node):
        return [
            found
            for found in self.api("alerts")["alerts"]
            if (found["labels"]["alertname"], found["labels"].get("node"), found["state"]) == (alert, node, "firing")
        ]

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def reset(demo, node, kind):
    login = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    fetch(f"{demo.url}/redfish/v1/Systems/{node}/Actions/ComputerSystem.Reset", headers, {"ResetType": kind})


def plug_of(demo, node):
    """The plug behind a node of the demonstration: they are in the same order."""
    plugs = json.loads(fetch(f"{demo.control}/plugs")[1])
    return plugs[int(node.removeprefix("node-")) - 1]["name"]


def switch_off(demo, prometheus):
    power = 'plugfish_node_power_on{node="node-1"}'
    wait_for("node-1 is on", lambda: prometheus.value(power) == 1)
    wait_for("node-1 draws watts", lambda: (prometheus.value('plugfish_node_power_watts{node="node-1"}') or 0) > 5)
    reset(demo, "node-1", "ForceOff")
    wait_for("node-1 is off after a Reset", lambda: prometheus.value(power) == 0)
    done = 'plugfish_node_transitions_total{node="node-1",kind="ForceOff",result="done"}'
    wait_for("the command is counted", lambda: prometheus.value(done) == 1)
    took = 'plugfish_node_transition_duration_seconds_sum{kind="ForceOff"}'
    wait_for("and timed", lambda: 0 < (prometheus.value(took) or 0) < 10)


def read_a_lot(demo, prometheus):
    """The graph that the dashboard begins with: reads cost the devices nothing."""
    end = time.monotonic() + 8
    count = 0
    while time.monotonic() < end:
        demo.ask("/redfish/v1/Systems/node-2")
        count += 1
    redfish = prometheus.value("sum(rate(plugfish_redfish_requests_total[6s]))")
    device = prometheus.value('60 * sum(increase(plugfish_device_requests_total{node="node-2"}[15s])) / 15')
    if not (redfish and redfish > 10) or device is None or device > 2 * POLL_REQUESTS_A_MINUTE:
        raise SystemExit(f"{count} reads: {redfish} Redfish requests a second, {device} device requests a minute")
    say(f"{redfish:.0f} Redfish requests a second, {device:.0f} requests a minute to the device that they are about")


def unplug(demo, prometheus):
    plug = plug_of(demo, "node-3")
    headers = {"Content-Type": "application/json"}
    up = 'plugfish_device_up{node="node-3"}'
    wait_for("the device of node-3 is up", lambda: prometheus.value(up) == 1)
    fetch(f"{demo.control}/plugs/{plug}/offline", headers, {"offline": True})
    wait_for("it is unplugged: the device is not up", lambda: prometheus.value(up) == 0)
    [alert] = wait_for("PlugfishDeviceAway fires", lambda: prometheus.firing("PlugfishDeviceAway", "node-3"))
    summary = alert["annotations"]["summary"]
    assert "node-3" in summary and alert["annotations"]["runbook"], alert
    print(f"    it says: {summary}")
    wait_for("node-3 is still shown as on", lambda: prometheus.value('plugfish_node_power_on{node="node-3"}') == 1)
    wait_for("PlugfishBreakerOpen fires", lambda: prometheus.firing("PlugfishBreakerOpen", "node-3"))
    fetch(f"{demo.control}/plugs/{plug}/offline", headers, {"offline": False})
    wait_for("it is plugged in: the device is up", lambda: prometheus.value(up) == 1)
    wait_for("and no alert fires", lambda: not prometheus.query('ALERTS{alertstate="firing",node="node-3"}'))


def dashboard(prometheus):
    board = json.loads((PACKAGING / "grafana/plugfish.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    first = board["panels"][0]["targets"]
    assert "plugfish_redfish_requests_total" in first[0]["expr"] and "plugfish_device_requests_total" in first[1]["expr"]
    assert len(expressions) > 20
    for expression in expressions:
        plain = expression.replace("$__rate_interval", "30s").replace("$instance", ".*").replace("$node", ".*")
        assert "$" not in plain, plain
        # A filter may rightly leave nothing.
        if not prometheus.query(plain) and not re.search(r" (==|>) \d$", plain):
            raise SystemExit(f"the dashboard asks for what there is not: {plain}")
    say(f"{len(expressions)} expressions of the dashboard are answered")


def main():
    rules = PACKAGING / "prometheus"
    promtool("check", "rules", str(rules / "rules.yaml"))
    promtool("test", "rules", str(rules / "rules.test.yaml"))
    with Demo() as demo:
        kind, text = fetch(f"{demo.url}/metrics")
        assert kind == "text/plain", kind
        promtool("check", "metrics", input=text)
        kind, text = fetch(f"{demo.url}/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
        assert kind == "application/openmetrics-text" and text.endswith("\n# EOF\n"), kind
        with Prometheus(demo.url.removeprefix("http://")) as prometheus:
            wait_for("Prometheus is ready", prometheus.is_ready)
            wait_for("it scrapes plugfish", lambda: prometheus.value('up{job="plugfish"}') == 1)
            assert prometheus.api("metadata?metric=plugfish_node_energy_joules")["plugfish_node_energy_joules"][0] == {
                "type": "counter",
                "help": "Energy used by the node, measured by its device; kept over restarts.",
                "unit": "joules",
            }
            switch_off(demo, prometheus)
            read_a_lot(demo, prometheus)
            unplug(demo, prometheus)
            dashboard(prometheus)
            alerts = prometheus.api("rules")["groups"][0]["rules"]
            sick = [rule["name"] for rule in alerts if rule["health"] != "ok"]
            assert not sick, sick
            say(f"{len(alerts)} alerts are evaluated without an error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
