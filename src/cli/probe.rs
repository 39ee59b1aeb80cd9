//! `plugfish check --probe`: logs in to every device once and prints its identity.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::StreamExt;

use super::output::{print, table};
use crate::clock::Clock;
use crate::daemon::NodePlan;
use crate::driver::Drivers;
use crate::node::device::Observation;
use crate::node::power_history::thousandth;
use crate::node::trust::VolatileBook;
use crate::store::trust_on_record;
use crate::telemetry::Metrics;

/// Devices asked at a time.
const AT_ONCE: usize = 16;

/// How long one device may take, logins and repetitions included.
const DEADLINE: Duration = Duration::from_secs(45);

/// Asks every device once; fails when one of them did not answer as it should. What the daemon with this state directory
/// has on record of the devices holds here too.
pub(super) async fn probe(nodes: &[NodePlan], state_dir: &Path) -> Result<()> {
    let book = trust_on_record(state_dir).unwrap_or_else(|error| {
        print(&format!("{error}; so what devices proved before is not known here, and each is trusted on first use\n"));
        VolatileBook::default()
    });
    let clock = Clock::system();
    let drivers = Arc::new(Drivers::new(clock.clone(), Metrics::new(), Arc::default(), Arc::new(book)));
    let asks = nodes.iter().map(|node| {
        let (clock, mut device) = (clock.clone(), drivers.open(&node.spec.id, &node.device));
        async move {
            let read = clock.limit(DEADLINE, device.read()).await;
            (node, read.unwrap_or_else(|| Err(too_slow())).map_err(|error| error.text))
        }
    });
    let answers: Vec<(&NodePlan, Result<Observation, String>)> =
        futures_util::stream::iter(asks).buffered(AT_ONCE).collect().await;
    let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let rows: Vec<Vec<String>> = answers.iter().map(|(node, answer)| row(node, answer)).collect();
    print(&table(&["NODE", "POWER", "MODEL", "FIRMWARE", "PROTOCOL", "WATTS"], &rows));
    for (node, error) in answers.iter().filter_map(|(node, answer)| Some((node, answer.as_ref().err()?))) {
        print(&format!("\n{}: {}: {error}\n", node.spec.id, node.spec.device));
    }
    for (node, seen) in answers.iter().filter_map(|(node, answer)| Some((node, answer.as_ref().ok()?))) {
        let notices = seen.notices.iter().map(|notice| notice.text.as_str());
        for text in seen.about.setup.as_deref().into_iter().chain(node.device.remark(&seen.about)).chain(notices) {
            print(&format!("\n{}: {}: {text}\n", node.spec.id, node.spec.device));
        }
    }
    if failed > 0 {
        bail!("{failed} of {} devices did not answer as they should", nodes.len());
    }
    Ok(())
}

fn too_slow() -> crate::node::device::DeviceError {
    let text = format!("no answer within {} s", DEADLINE.as_secs());
    crate::node::device::DeviceError::new(crate::node::device::FailureClass::Timeout, text)
}

fn row(node: &NodePlan, answer: &Result<Observation, String>) -> Vec<String> {
    let name = node.spec.id.to_string();
    let nothing = || "-".to_owned();
    let Ok(seen) = answer else {
        return vec![name, nothing(), nothing(), nothing(), nothing(), nothing()];
    };
    let about = &seen.about;
    let said = |text: &Option<String>| text.clone().unwrap_or_else(nothing);
    // `1.3.0 Build 230905 Rel.152200`: the first word tells enough.
    let firmware = about.firmware.as_deref().and_then(|text| text.split_whitespace().next());
    let watts = seen.milliwatts.and_then(thousandth).map_or_else(nothing, |watts| format!("{watts:.1}"));
    let power = seen.power.map_or_else(nothing, |power| power.to_string());
    let firmware = firmware.map_or_else(nothing, str::to_owned);
    vec![name, power, said(&about.model), firmware, said(&about.protocol), watts]
}
