//! The procedure with a plug that exists only here, in time that passes at once.

use super::*;
use crate::clock::Wall;
use crate::node::device::{DeviceError, DeviceFuture, DeviceIdentity};
use crate::node::{Inventory, PowerPolicy, Timings};

/// A plug, and a machine that idles and shuts down at a reading.
struct Meter {
    clock: Clock,
    reads: usize,
    idle: u64,
    off: u64,
    noise: u64,
    /// The reading at which its machine is off.
    off_from: usize,
    has_meter: bool,
    relay: Power,
    /// The readings that fail, and how.
    fails: Option<(usize, usize, FailureClass)>,
    orders: Vec<PowerAction>,
}

impl Meter {
    fn new(clock: &Clock, idle: u64, off: u64) -> Meter {
        let clock = clock.clone();
        let (noise, off_from, relay, fails) = (idle / 20, 50, Power::On, None);
        Meter { clock, reads: 0, idle, off, noise, off_from, has_meter: true, relay, fails, orders: Vec::new() }
    }
}

impl PowerDevice for Meter {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        self.reads += 1;
        if let Some((from, to, class)) = self.fails.filter(|(from, to, _)| (*from..*to).contains(&self.reads)) {
            let _ = (from, to);
            return Box::pin(async move { Err(DeviceError::new(class, "it fails")) });
        }
        let draw = match self.reads {
            _ if self.relay == Power::Off => 20,
            read if read >= self.off_from => self.off + self.clock.below(60),
            _ => self.idle + self.clock.below(self.noise + 1),
        };
        let about = Arc::new(DeviceIdentity { meter: self.has_meter, ..DeviceIdentity::default() });
        let milliwatts = self.has_meter.then_some(draw);
        let seen = Observation { power: Some(self.relay), milliwatts, about, ..Observation::default() };
        Box::pin(async move { Ok(seen) })
    }

    fn order(&mut self, order: PowerAction, _: BootOverride) -> DeviceFuture<'_, ()> {
        self.orders.push(order);
        self.relay = order.leads_to();
        Box::pin(async { Ok(()) })
    }

    fn forget_session(&mut self) {}
}

fn spec() -> NodeSpec {
    NodeSpec {
        id: "node-1".parse().unwrap(),
        inventory: Arc::new(Inventory::default()),
        timings: Timings::default(),
        device: "Tapo plug at 192.0.2.11".into(),
        kind: &crate::driver::tapo::KIND,
        boot_mode: None,
        boot_targets: None,
        policy: PowerPolicy::default(),
    }
}

async fn calibrated(cut: bool, change: impl Fn(&mut Meter)) -> (Result<Calibration, String>, Meter, String) {
    let clock = Clock::simulated(1, Wall(0));
    let mut meter = Meter::new(&clock, 28_000, 900);
    change(&mut meter);
    let spec = spec();
    let start = clock.mono();
    let mut procedure = Procedure { clock, spec: &spec, start, rows: Vec::new(), is_cut: false, tells: |_, _| {} };
    let result = procedure.measure(&mut meter, cut).await.map_err(|error| format!("{error:#}"));
    procedure.close(&mut meter).await.unwrap();
    let csv = procedure.csv();
    (result, meter, csv)
}

#[tokio::test(start_paused = true)]
async fn a_good_machine_gets_its_thresholds_and_nothing_is_switched() {
    let (result, meter, csv) = calibrated(false, |_| {}).await;
    let watts = result.unwrap().watts;
    assert!((1_400..1_700).contains(&watts.off_below) && (23_000..28_000).contains(&watts.on_above), "{watts:?}");
    assert_eq!(meter.orders, []);
    assert!(csv.starts_with("seconds,step,watts\n2.0,running,2") && csv.contains(",off,0.9"), "{csv}");
}

#[tokio::test(start_paused = true)]
async fn with_cut_the_outlet_is_on_again_at_the_end() {
    let (result, meter, csv) = calibrated(true, |_| {}).await;
    assert!(result.is_ok() && csv.contains(",cut,0.02"), "{result:?} {csv}");
    assert_eq!(meter.orders, [PowerAction::Off, PowerAction::On]);
    // Also when measuring fails in between.
    let (result, meter, _) = calibrated(true, |meter| meter.fails = Some((100, 200, FailureClass::Unreachable))).await;
    assert!(result.unwrap_err().contains("it fails"));
    assert_eq!(meter.orders.last(), Some(&PowerAction::On));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_is_refused_in_words() {
    type Change = fn(&mut Meter);
    let cases: [(Change, &str); 7] = [
        (|meter| (meter.idle, meter.off) = (4_000, 2_700), "cannot be told apart"),
        (|meter| meter.noise = 0, "stuck"),
        (|meter| meter.off_from = usize::MAX, "after 10 min"),
        (|meter| meter.has_meter = false, "measures nothing"),
        (|meter| meter.relay = Power::Off, "is off"),
        (|meter| meter.fails = Some((10, 11, FailureClass::Auth)), "it fails"),
        (|meter| meter.fails = Some((10, 99, FailureClass::Unreachable)), "it fails"),
    ];
    for (change, words) in cases {
        let (result, meter, _) = calibrated(false, change).await;
        let said = result.unwrap_err();
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(meter.orders, []);
    }
    // A wrong login is not tried again, and a lost answer is.
    let (_, meter, _) = calibrated(false, |meter| meter.fails = Some((10, 99, FailureClass::Auth))).await;
    assert_eq!(meter.reads, 10);
    let (result, ..) = calibrated(false, |meter| meter.fails = Some((10, 14, FailureClass::Timeout))).await;
    assert!(result.is_ok());
}

#[test]
fn the_result_is_what_nodes_yaml_takes() {
    use crate::node::Watts;
    use crate::node::calibration::Figures;
    let watts = Watts { off_below: 1_600, on_above: 21_500, settle: Duration::from_secs(10) };
    let figures = Figures { off: 1_050, running: 25_300, off_deviation: 20.0, step: 1 };
    let text = shown("node-2", &Calibration { watts, figures }, Form::Yaml);
    assert!(
        text.ends_with("power_state: measured\nwatts: { off_below: 1.6, on_above: 21.5, settle: 10s }\n"),
        "{text}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&shown("node-2", &Calibration { watts, figures }, Form::Json)).unwrap();
    assert_eq!(json["watts"]["on_above"], 21.5);
}
