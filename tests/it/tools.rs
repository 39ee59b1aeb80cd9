//! The commands that convert files: `generate`, `import`, `export`, `restore`. The real program, mostly without a
//! daemon.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::commands::run;
use crate::rig::{Rig, klap};

/// The shape that Metal3 gives a BareMetalHost, strict as the API server is.
const BARE_METAL_HOST: &str = include_str!("../fixtures/metal3/baremetalhost.json");

const NODES: &str = r#"
server: { listen: ["127.0.0.1:8000"], tls: { self_signed: true } }
defaults:
  tapo: { username: me@example.org, password: "not to be shown" }
  amt: { password: "not to be shown" }
nodes:
  - { id: node-1, tapo: { address: 192.0.2.11 }, nics: ["00:5C:52:31:3A:9C", "00:5c:52:31:3a:9d"] }
  - { id: Node_2, amt: { address: 192.0.2.12 }, boot_mode: legacy }
"#;

/// Runs the program in a folder.
fn plugfish(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfish"));
    let output = command.args(arguments).current_dir(folder).env_remove("PLUGFISH_CONFIG").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The documents of a YAML text.
fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize;
    let all = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    all.filter(|document| !document.is_null()).collect()
}

#[test]
fn bare_metal_hosts_have_the_shape_that_metal3_wants() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("nodes.yaml"), NODES).unwrap();
    let (code, _, err) = plugfish(folder.path(), &["generate", "bmh"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("127.0.0.1:8000") && err.contains("add --service-url https://HOST:PORT"), "{err}");
    let (code, _, err) = plugfish(folder.path(), &["generate", "bmh", "--service-url", "192.0.2.1:8000"]);
    assert!(code == Some(1) && err.contains("write it as http://192.0.2.1:8000"), "{err}");

    let url = ["--service-url", "https://plugfish.example.org:8443/"];
    let (code, out, err) = plugfish(folder.path(), &[&["generate", "bmh", "--namespace", "metal3"], &url[..]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("Node_2 has no nics") && out.contains("# bootMACAddress: the node has no nics"), "{out}{err}");
    assert!(!out.contains("not to be shown") && !out.contains("example.org\""), "{out}");
    let hosts = documents(&out);
    let schema = jsonschema::validator_for(&serde_json::from_str(BARE_METAL_HOST).unwrap()).unwrap();
    for host in &hosts {
        let wrong: Vec<String> = schema.iter_errors(host).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?} in {host:#}");
    }
    let [first, second] = hosts.as_slice() else { panic!("{out}") };
    assert_eq!(first["metadata"], serde_json::json!({ "name": "node-1", "namespace": "metal3" }));
    assert_eq!(first["spec"]["bootMACAddress"], "00:5c:52:31:3a:9c");
    let address = "redfish+https://plugfish.example.org:8443/redfish/v1/Systems/node-1";
    assert_eq!(
        (&first["spec"]["bmc"]["address"], &first["spec"]["bmc"]["credentialsName"]),
        (&address.into(), &"plugfish-login".into())
    );
    assert_eq!(first["spec"]["bmc"]["disableCertificateVerification"], true);
    assert_eq!((&second["metadata"]["name"], &second["spec"]["bootMode"]), (&"node-2".into(), &"legacy".into()));
    let mut broken = first.clone();
    broken["spec"]["bmc"]["adress"] = "x".into();
    assert!(!schema.is_valid(&broken), "the schema is strict");

    let (code, out, _) = plugfish(folder.path(), &[&["generate", "bmh", "node-1"], &url[..]].concat());
    assert_eq!((code, documents(&out).len()), (Some(0), 1));
    let (code, _, err) = plugfish(folder.path(), &[&["generate", "bmh", "node-3"], &url[..]].concat());
    assert!(code == Some(1) && err.contains("no node node-3 in nodes.yaml; there are: node-1, Node_2"), "{err}");
}

#[test]
fn ironic_and_prometheus_get_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    std::fs::write(&file, NODES.replace("127.0.0.1:8000", "[2001:db8::1]:8443")).unwrap();
    let (code, out, err) = plugfish(folder.path(), &["generate", "ironic"]);
    assert_eq!(code, Some(0), "{err}");
    let nodes = &documents(&out)[0]["nodes"];
    let expect = serde_json::json!({
        "name": "node-1", "driver": "redfish", "boot_interface": "ipxe",
        "driver_info": {
            "redfish_address": "https://[2001:db8::1]:8443", "redfish_system_id": "/redfish/v1/Systems/node-1",
            "redfish_username": "ironic", "redfish_password": "CHANGE-ME", "redfish_verify_ca": false,
        },
        "ports": [{ "address": "00:5c:52:31:3a:9c" }, { "address": "00:5c:52:31:3a:9d" }],
    });
    assert_eq!(nodes[0], expect);
    assert!(nodes[1]["ports"].is_null() && err.contains("Node_2 has no nics"), "{out}{err}");

    let (code, out, _) = plugfish(folder.path(), &["generate", "servicemonitor"]);
    let monitor = &documents(&out)[0];
    assert_eq!((code, &monitor["kind"]), (Some(0), &"ServiceMonitor".into()));
    assert_eq!(monitor["metadata"]["labels"], monitor["spec"]["selector"]["matchLabels"]);
    assert_eq!(monitor["spec"]["jobLabel"], "app.kubernetes.io/name");
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!((&endpoint["scheme"], &endpoint["tlsConfig"]["insecureSkipVerify"]), (&"https".into(), &true.into()));
    std::fs::write(&file, NODES.replace("server: {", "server: { metrics: off,")).unwrap();
    let (code, _, err) = plugfish(folder.path(), &["generate", "servicemonitor"]);
    assert!(code == Some(1) && err.contains("server.metrics is off"), "{err}");
}

const SUSHY: &str = r"# sushy-emulator --tapo --config=this
import os
SUSHY_EMULATOR_LISTEN_IP = u'0.0.0.0'
SUSHY_EMULATOR_LISTEN_PORT = 8000
SUSHY_EMULATOR_AUTH_FILE = None
SUSHY_EMULATOR_FEATURE_SET = 'full'
SUSHY_EMULATOR_TAPO_SYSTEMS = [
    {
        u'uuid': u'node-1', u'name': u'one', u'address': u'192.0.2.11', u'power_state': u'Off', u'amt': False,
        u'last_updated': '', u'tapo_username': u'me@example.org', u'tapo_password': u'it\'s secret',
        u'nics': [{u'address': u'00:5c:52:31:3a:9c'}],
    },
    {
        u'uuid': u'c7a5fdbd-cdaf-9455-926a-d65c16db1809', u'name': u'two', u'power_state': u'Off', u'amt': True,
        u'amt_address': u'192.0.2.12', u'amt_password': u'Passw0rd!', u'last_updated': '', u'colour': 'red',
        u'nics': [{u'address': u'00:5c:52:31:3a:9c'}, {'address': '00-5C-52-31-3A-9D'}],
    },
    {
        'uuid': 'node-3', 'name': 'three', 'address': '192.0.2.13', 'amt': False,
        'tapo_username': 'other@example.org', 'tapo_password': 'third secret', 'nics': [],
    },
]
";

#[test]
fn what_sushy_tools_had_becomes_nodes_yaml_that_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("sushy.conf"), SUSHY).unwrap();
    let (code, out, err) = plugfish(folder.path(), &["import", "sushy", "sushy.conf"]);
    assert_eq!(code, Some(0), "{err}");
    for secret in ["it's secret", "Passw0rd!", "third secret"] {
        assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
    }
    for told in [
        "line 2 is left out",
        "SUSHY_EMULATOR_FEATURE_SET has no place",
        "00:5c:52:31:3a:9c of c7a5fdbd-cdaf-9455-926a-d65c16db1809 is left out",
        "colour of c7a5fdbd",
        "the passwords are in amt.pass, node-3.pass, tapo.pass",
    ] {
        assert!(err.contains(told), "{told}: {err}");
    }
    for (file, password) in
        [("tapo.pass", "it's secret\n"), ("amt.pass", "Passw0rd!\n"), ("node-3.pass", "third secret\n")]
    {
        assert_eq!(std::fs::read_to_string(path(file)).unwrap(), password);
        assert_eq!(std::fs::metadata(path(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(path("nodes.yaml"), &out).unwrap();
    let (code, said, err) = plugfish(folder.path(), &["check"]);
    let (first, note) = said.split_once('\n').unwrap();
    assert_eq!((code, first), (Some(0), "./nodes.yaml: 3 nodes, nothing wrong with it"), "{err}");
    assert!(note.is_empty() || note.contains("AMT over plain HTTP"), "{note}");
    let config = plugfish::testing::config::load(&path("nodes.yaml")).unwrap().config;
    let ids: Vec<&str> = config.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["node-1", "c7a5fdbd-cdaf-9455-926a-d65c16db1809", "node-3"], "the URLs stay");
    assert_eq!(config.nodes[1].inventory.nics.len(), 1);

    // Again: the same passwords are there; other ones are not written over.
    assert_eq!(plugfish(folder.path(), &["import", "sushy", "sushy.conf"]).0, Some(0));
    std::fs::write(path("tapo.pass"), "mine\n").unwrap();
    let (code, out, err) = plugfish(folder.path(), &["import", "sushy", "sushy.conf"]);
    assert!(code == Some(1) && out.is_empty() && err.contains("tapo.pass is there already"), "{err}");
    let (code, out, _) = plugfish(folder.path(), &["import", "sushy", "sushy.conf", "--inline-passwords"]);
    assert!(code == Some(0) && out.contains("\"it's secret\""), "{out}");
}

#[test]
fn what_cannot_be_imported_is_said_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let said = |text: &str| {
        std::fs::write(folder.path().join("conf"), text).unwrap();
        let (code, out, err) = plugfish(folder.path(), &["import", "sushy", "conf"]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        err
    };
    assert!(said("A = 1\n").contains("no list SUSHY_EMULATOR_TAPO_SYSTEMS"));
    assert!(said("SUSHY_EMULATOR_TAPO_SYSTEMS = [\n  os.environ['X'],\n]\n").contains("line 2: 'o' is not understood"));
    assert!(
        said("[{'uuid': 'n', 'amt': False, 'address': '192.0.2.1'}]").contains("the system n has no tapo_username")
    );
    let twice = "{'uuid': 'N', 'amt': True, 'amt_address': '192.0.2.1', 'amt_password': 'x'},";
    let error = said(&format!("[{twice}{}]", twice.replace('N', "M")));
    assert!(error.contains("no good nodes.yaml") && error.contains("nodes[1]"), "{error}");
    // A file that it names is read as far as a certificate goes, and no further.
    let endless = folder.path().join("endless");
    std::fs::File::create(&endless).unwrap().set_len(1 << 40).unwrap();
    let files = "SUSHY_EMULATOR_SSL_CERT = 'endless'\nSUSHY_EMULATOR_SSL_KEY = 'endless'\n";
    let error = said(&format!("{files}SUSHY_EMULATOR_TAPO_SYSTEMS = [{twice}]\n"));
    assert!(error.contains("endless has no certificate in PEM form"), "{error}");
    std::fs::remove_file(endless).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no password was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_goes_into_a_file_and_back() {
    let mut rig = Rig::settled([klap("a")]).await;
    let state = rig.state.to_str().unwrap().to_owned();
    let folder = rig.state.parent().unwrap().to_owned();
    let on = |arguments: &[&str]| tokio::task::block_in_place(|| plugfish(&folder, arguments));
    let (code, _, err) = on(&["export", "--state-dir", &state]);
    assert_eq!(code, Some(1));
    assert!(err.contains("a daemon that is stopped") && err.contains("is in use by another plugfish"), "{err}");
    let boot =
        serde_json::json!({ "Boot": { "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe" } });
    let patch = rig.request(reqwest::Method::PATCH, "/redfish/v1/Systems/a").json(&boot);
    assert_eq!(rig.send(patch).await.0, 200);
    let uuid = rig.get("/redfish/v1/").await.1["UUID"].clone();
    rig.stop();

    let (code, out, err) = on(&["export", "--state-dir", &state]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("$argon2id$") && !out.contains("correct horse") && !out.contains("\"session/"), "{out}");
    let file = folder.join("export.json");
    std::fs::write(&file, &out).unwrap();
    let file = file.to_str().unwrap();
    let (code, _, err) = on(&["restore", file, "--state-dir", &state]);
    assert!(code == Some(1) && err.contains("there is state in") && err.contains("add --force"), "{err}");

    let broken = folder.join("broken.json");
    std::fs::write(&broken, &out[..out.len() / 2]).unwrap();
    let before = std::fs::read(rig.state.join("state.json")).unwrap();
    let (code, _, err) = on(&["restore", broken.to_str().unwrap(), "--state-dir", &state, "--force"]);
    assert!(code == Some(1) && err.contains("broken.json") && err.contains("no state of plugfish"), "{err}");
    assert_eq!(std::fs::read(rig.state.join("state.json")).unwrap(), before);

    std::fs::remove_dir_all(&rig.state).unwrap();
    let (code, said, err) = on(&["restore", file, "--state-dir", &state]);
    assert_eq!(code, Some(0), "{err}");
    assert!(said.contains("restored from"), "{said}");
    rig.restart().await;
    assert_eq!(rig.get("/redfish/v1/").await.1["UUID"], uuid);
    assert_eq!(rig.system("a").await["Boot"]["BootSourceOverrideTarget"], "Pxe");
    let (code, _, err) = on(&["export", "--state-dir", "/nowhere/state"]);
    assert!(code == Some(1) && err.contains("there is no state in /nowhere/state"), "{err}");
    let (code, out, err) = run(&rig, &["status"]).await;
    assert_eq!(code, Some(0), "the account is there: {out}{err}");
}

/// The fenced blocks of a page, each with its language.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

#[test]
fn what_the_page_for_clients_shows_can_be_typed_and_leads_somewhere() {
    let page = include_str!("../../docs/clients.md");
    let folder = tempfile::tempdir().unwrap();
    let mut kinds = Vec::new();
    for (kind, text) in blocks(page) {
        kinds.push(kind);
        match kind {
            "console" => {
                let file = folder.path().join("typed");
                std::fs::write(&file, text).unwrap();
                let read = Command::new("bash").arg("-n").arg(&file).output().unwrap();
                assert!(read.status.success(), "{text}{}", String::from_utf8_lossy(&read.stderr));
            }
            "yaml" if text.starts_with("accounts:") => {
                let nodes = "defaults: { tapo: { username: u, password: p } }\nnodes: [{ id: node-4, tapo: { address: 192.0.2.14 } }]\n";
                std::fs::write(folder.path().join("nodes.yaml"), format!("{text}\n{nodes}")).unwrap();
                for name in ["admin.pass", "node-4.pass"] {
                    std::fs::write(folder.path().join(name), "x").unwrap();
                }
                let (code, _, err) = plugfish(folder.path(), &["check"]);
                assert_eq!(code, Some(0), "{err}");
            }
            "yaml" => assert!(!documents(text).is_empty()),
            "toml" | "python" => assert!(!text.contains('\t'), "{text}"),
            "text" => {
                let count = |sign| text.matches(sign).count();
                assert_eq!(count('{'), count('}'), "{text}");
            }
            other => panic!("a block of {other:?}"),
        }
    }
    assert!(["console", "yaml", "toml", "python", "text"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-{}".contains(c);
    let mut paths = 0;
    for (at, _) in page.match_indices("redfish/v1/") {
        let rest = &page[at..];
        let path = &rest[..rest.find(|c| !is_path(c)).unwrap_or(rest.len())];
        let path = format!("/{}", path.trim_end_matches(['.', '/']).replace("{{plug}}", "node-4"));
        assert!(plugfish::testing::redfish::route(&path).is_some(), "{path}");
        paths += 1;
    }
    assert!(paths > 8, "{paths}");
}
