//! The metrics for Prometheus: they match what clients see, and their documentation is correct.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::header::{ACCEPT, CONTENT_TYPE};

use crate::rig::{Rig, klap};

/// Between these lines of docs/metrics.md stands what the registry says.
const MARKS: (&str, &str) = ("<!-- what the registry says -->\n", "<!-- end -->\n");

/// The words of Prometheus's own request.
const PROMETHEUS: &str =
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;q=0.5";

async fn scrape(rig: &Rig, accept: &str) -> (String, String) {
    let answer = rig.client.get(rig.url("/metrics")).header(ACCEPT, accept).send().await.unwrap();
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (kind, answer.text().await.unwrap())
}

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[tokio::test]
async fn metrics_tell_what_readers_see() {
    let rig = Rig::settled([klap("n")]).await;
    let (kind, text) = scrape(&rig, "*/*").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "\n# TYPE plugfish_device_requests_total counter\n",
        "\nplugfish_node_power_on{node=\"n\"} 1",
        "\nplugfish_device_up{node=\"n\"} 1",
        "\nplugfish_node_health{node=\"n\"} 0",
        "\nplugfish_node_poll_interval_seconds{node=\"n\"} 1",
        "\nplugfish_node_condition{node=\"n\",condition=\"DeviceAway\"} 0",
        "\nplugfish_node_power_watts{node=\"n\"}",
        "\nplugfish_node_state_age_seconds{node=\"n\"}",
        "\nplugfish_device_requests_total{node=\"n\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    rig.reset("n", "ForceOff").await;
    rig.until(5, || async { scrape(&rig, "*/*").await.1.contains("plugfish_node_power_on{node=\"n\"} 0") }).await;
    let (kind, text) = scrape(&rig, PROMETHEUS).await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.contains("plugfish_node_transitions_total{node=\"n\",kind=\"ForceOff\",result=\"done\"} 1"), "{text}");

    rig.plug("n").set_offline(true);
    rig.until(10, || async { scrape(&rig, "*/*").await.1.contains("plugfish_device_up{node=\"n\"} 0") }).await;
}

/// The reference: what is before the table, it, and what is after it.
fn parts(page: &str) -> [&str; 3] {
    let (before, rest) = page.split_once(MARKS.0).unwrap();
    let (table, after) = rest.split_once(MARKS.1).unwrap();
    [before, table, after]
}

/// What is said of one metric.
#[derive(Default)]
struct Said {
    kind: String,
    unit: String,
    help: String,
    labels: BTreeSet<String>,
}

impl Said {
    fn take(&mut self, other: Said) {
        let labels = std::mem::take(&mut self.labels).into_iter().chain(other.labels).collect();
        *self = Said { labels, ..other };
    }
}

/// What an OpenMetrics page says of its metrics, by the names that PromQL has for them.
fn said(page: &str) -> BTreeMap<String, Said> {
    let mut all: BTreeMap<String, Said> = BTreeMap::new();
    let (mut name, mut help) = (String::new(), String::new());
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", _, ..] => help = words[3].to_owned(),
            ["#", "TYPE", family, kind] => {
                let suffix = match *kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                name = format!("{family}{suffix}");
                let said = Said { kind: (*kind).into(), help: std::mem::take(&mut help), ..Said::default() };
                assert!(all.insert(name.clone(), said).is_none(), "{name} is there twice");
            }
            ["#", "UNIT", _, unit] => all.get_mut(&name).unwrap().unit = (*unit).into(),
            ["#", ..] => {}
            _ => {
                let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
                let keys = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
                all.get_mut(&name).unwrap().labels.extend(keys.filter(|key| key != "le"));
            }
        }
    }
    all
}

fn table(all: &BTreeMap<String, Said>) -> String {
    let mut text = "| Name | Type | Labels | Unit | Help |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for (name, Said { kind, unit, help, labels }) in all {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        text += &format!("| `{name}` | {kind} | {} | {unit} | {help} |\n", labels.join(", "));
    }
    text
}

#[tokio::test]
async fn the_reference_is_what_the_registry_says() {
    let rig = Rig::settled([klap("n")]).await;
    rig.until(10, || async { scrape(&rig, "*/*").await.1.contains("plugfish_node_power_watts{node=") }).await;
    let mut all = said(&scrape(&rig, PROMETHEUS).await.1);
    rig.reset("n", "ForceOff").await;
    let done = "plugfish_node_transition_duration_seconds_count{kind=\"ForceOff\"} 1";
    rig.until(5, || async { scrape(&rig, "*/*").await.1.contains(done) }).await;
    // A node that is off draws nothing, and a histogram without a command is not there: both pages say all.
    for (name, new) in said(&scrape(&rig, PROMETHEUS).await.1) {
        all.entry(name).or_default().take(new);
    }
    let file = page("docs/metrics.md");
    let written = fs::read_to_string(&file).unwrap();
    let [before, _, after] = parts(&written);
    let wanted = format!("{before}{}{}{}{after}", MARKS.0, table(&all), MARKS.1);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap();
    assert!(written == wanted, "docs/metrics.md is not what the registry says; UPDATE_GOLDEN=1 rewrites it");
}

/// Every metric that is named in the rules and on the board is in the reference, which is what the registry says.
#[test]
fn rules_and_dashboard_name_what_there_is() {
    let reference = fs::read_to_string(page("docs/metrics.md")).unwrap();
    let mut known = BTreeSet::new();
    let [_, reference, _] = parts(&reference);
    for row in reference.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once("` | ").unwrap();
        known.insert(name.to_owned());
        if rest.starts_with("histogram") {
            known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
    }
    assert!(known.len() > 30, "{known:?}");
    let name = regex_lite::Regex::new(r"\b(?:plugfish|process)_[a-z_]+").unwrap();
    for file in ["packaging/prometheus/rules.yaml", "packaging/grafana/plugfish.json"] {
        let text = fs::read_to_string(page(file)).unwrap();
        let named: BTreeSet<&str> = name.find_iter(&text).map(|found| found.as_str()).collect();
        let unknown: Vec<_> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which docs/metrics.md does not have");
        assert!(named.len() >= 8, "{file}: only {named:?}");
    }
}

/// The PrometheusRule of Kubernetes is the same rules, two columns to the right.
#[test]
fn kubernetes_gets_the_same_rules() {
    let rules = fs::read_to_string(page("packaging/prometheus/rules.yaml")).unwrap();
    let (_, groups) = rules.split_once("\ngroups:\n").unwrap();
    let indented = groups.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("  {line}\n") });
    let wanted = format!(
        "# packaging/prometheus/rules.yaml for the Prometheus operator; a test keeps them the same.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: plugfish\n  labels:\n    \
         app.kubernetes.io/name: plugfish\nspec:\n  groups:\n{}",
        indented.collect::<String>()
    );
    let file = page("packaging/kubernetes/monitoring/prometheusrule.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == wanted, "{} differs from the rules; UPDATE_GOLDEN=1 rewrites it", file.display());
}
