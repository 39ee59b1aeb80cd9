"""Tests the manifests in packaging/kubernetes: they can be built, they are valid, and they are consistent.

Checked here is what a schema cannot express: the selectors match the pods, the files that nodes.yaml names are keys of
the Secret, `plugfish check` accepts it, and the network policy applies only to plugfish's pods.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

FOLDER = pathlib.Path("packaging/kubernetes")
# The oldest and the newest API that is tried.
VERSIONS = ("1.29.0", "1.37.0")
OPERATOR = "monitoring.coreos.com/v1"


def say(what):
    print(f"ok: {what}", flush=True)


def build(folder):
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode or done.stderr:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def operator_says(objects):
    script = str(pathlib.Path(__file__).with_name("operator_models.mjs"))
    done = subprocess.run(
        ["node", script, sys.argv[1]], input=json.dumps(objects), capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def check_schemas(name, objects):
    kinds = [found["kind"] for found in objects]
    for found in objects:
        if found["apiVersion"] != OPERATOR:
            for version in VERSIONS:
                kubernetes_validate.validate(found, version, strict=True)
    wrong = operator_says([found for found in objects if found["apiVersion"] == OPERATOR])
    if wrong:
        raise SystemExit(wrong)
    say(f"{name}: {', '.join(kinds)} fit their schemas")


def check_judges(objects):
    """They must be able to say no."""
    for kind, path, wrong in [
        ("Deployment", ("spec", "strategy", "type"), 7),
        ("Deployment", ("spec", "template", "spec", "volume"), []),
        ("NetworkPolicy", ("spec", "ingres"), []),
    ]:
        bad = copy.deepcopy(one(objects, kind))
        place = bad
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = wrong
        try:
            kubernetes_validate.validate(bad, VERSIONS[-1], strict=True)
        except kubernetes_validate.ValidationError:
            continue
        raise SystemExit(f"the schemas take {'.'.join(path)} = {wrong!r}")
    bad = copy.deepcopy(one(objects, "ServiceMonitor"))
    bad["spec"]["endpoints"][0]["tlsConfig"] = "none"
    if not operator_says([bad]):
        raise SystemExit("the models of the operator take a tlsConfig that is none")


def one(objects, kind):
    [found] = [found for found in objects if found["kind"] == kind]
    return found


def check_fit(objects):
    deployment = one(objects, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    [container] = pod["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    service = one(objects, "Service")
    policy = one(objects, "NetworkPolicy")["spec"]
    for selector in (deployment["selector"]["matchLabels"], service["spec"]["selector"], policy["podSelector"]["matchLabels"]):
        assert selector and selector.items() <= labels.items(), selector
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports, probe
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == one(objects, "PersistentVolumeClaim")["metadata"]["name"]
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    containerfile = pathlib.Path("packaging/Containerfile").read_text()
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in containerfile
    check_config(objects, volumes["config"]["projected"], mounts)
    say("selectors, ports, volumes and users fit together")


def check_config(objects, projected, mounts):
    """nodes.yaml as the pod sees it, beside the files of the example of its Secret."""
    config = one(objects, "ConfigMap")
    secret = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
    for version in VERSIONS:
        kubernetes_validate.validate(secret, version, strict=True)
    names = [source[kind]["name"] for source in projected["sources"] for kind in source]
    assert names == [config["metadata"]["name"], secret["metadata"]["name"]], names
    text = config["data"]["nodes.yaml"]
    named = set(re.findall(r"file: ([a-z.]+)", text))
    assert named == secret["stringData"].keys(), named
    assert yaml.safe_load(text)["state_dir"].startswith(mounts["state"] + "/")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (config["data"] | secret["stringData"]).items():
            (pathlib.Path(folder) / name).write_text(content)
        program = f"{os.environ.get('CARGO_TARGET_DIR', 'target')}/debug/plugfish"
        done = subprocess.run(
            [program, "check", "--config", f"{folder}/nodes.yaml"], capture_output=True, text=True, check=False, timeout=30
        )
        # The example asks its AMT machine in the clear, and is told what that means.
        lines = [line for line in done.stdout.splitlines() if "AMT over plain HTTP" not in line]
        if done.returncode or len(lines) != 1 or "nothing wrong" not in lines[0]:
            raise SystemExit(f"plugfish check:\n{done.stdout}{done.stderr}")
    say("plugfish check is content with the ConfigMap beside the Secret")


def check_metal3(objects):
    namespace = "baremetal-operator-system"
    assert {found["metadata"].get("namespace") for found in objects} == {namespace}
    service = one(objects, "Service")
    port = service["spec"]["ports"][0]
    monitor = one(objects, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "plugfish", "the alerts want this job"
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [port["name"]]
    rules = yaml.safe_load(pathlib.Path("packaging/prometheus/rules.yaml").read_text())
    assert one(objects, "PrometheusRule")["spec"] == rules, "the PrometheusRule is not packaging/prometheus/rules.yaml"
    address = f"{service['metadata']['name']}.{namespace}.svc:{port['port']}"
    page = pathlib.Path("docs/kubernetes.md").read_text()
    hosts = [found for found in yaml_of(page) if found.get("kind") == "BareMetalHost"]
    assert hosts, "docs/kubernetes.md has no BareMetalHost"
    known = {node["id"] for node in yaml.safe_load(one(objects, "ConfigMap")["data"]["nodes.yaml"])["nodes"]}
    for host in hosts:
        scheme, rest = host["spec"]["bmc"]["address"].split("://")
        node = rest.removeprefix(f"{address}/redfish/v1/Systems/")
        assert scheme in ("redfish", "redfish+https") and node in known, host["spec"]["bmc"]
    say(f"Metal3 finds it at {address}, as docs/kubernetes.md says")


def yaml_of(page):
    """The documents in the fenced blocks of a page."""
    for block in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        yield from (found for found in yaml.safe_load_all(block) if isinstance(found, dict))


def main():
    base, metal3 = build(FOLDER / "base"), build(FOLDER / "metal3")
    check_schemas("base", base)
    check_schemas("metal3", metal3)
    check_judges(metal3)
    check_fit(base)
    check_fit(metal3)
    check_metal3(metal3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
