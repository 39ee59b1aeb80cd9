//! Instructions per read, counted by callgrind: a figure that does not depend on the load of the machine.
//!
//! The reads go through the real service, without sockets, and only [`read_once`] is counted. Each figure is the
//! difference of two runs, so that the first read, which renders the answer, cancels out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service as HttpService, ServiceResponse};
use actix_web::web::Data;
use actix_web::{App, Error, test};
use futures_util::FutureExt;
use plugfish::testing::account::{AccountBook, AccountRecord, Role};
use plugfish::testing::clock::{Clock, Wall};
use plugfish::testing::driver::tapo;
use plugfish::testing::http::auth::{Authenticator, hash_password};
use plugfish::testing::http::turns::Turns;
use plugfish::testing::node::actor::NodeContext;
use plugfish::testing::node::device::{DeviceFuture, Observation, PowerDevice};
use plugfish::testing::node::event::EventBus;
use plugfish::testing::node::reload::NodeSetup;
use plugfish::testing::node::supervisor::Supervisor;
use plugfish::testing::node::{BootOverride, NodeSpec, Power, PowerAction, PowerPolicy, Timings};
use plugfish::testing::redfish::events::Events;
use plugfish::testing::redfish::{Service, dispatch};
use plugfish::testing::store::Store;
use plugfish::testing::telemetry::Metrics;
use zeroize::Zeroizing;

use crate::summary::{Aim, Figure};

/// How far a count may be from the committed one, in per cent, in either direction: what became cheaper is committed, too.
const TOLERANCE: f64 = 5.0;

/// Reads of the two runs.
const FEW: u64 = 20;
const MANY: u64 = 220;

/// What is counted: a System, with a token and with Basic, and a collection that is made again for each read.
const KINDS: [(&str, &str, bool); 3] = [
    ("system-token", "/redfish/v1/Systems/n0", true),
    ("system-basic", "/redfish/v1/Systems/n0", false),
    ("collection-token", "/redfish/v1/Systems", true),
];

const NODES: usize = 20;

fn committed() -> PathBuf {
    let name = format!("tests/bench/instructions-{}.txt", std::env::consts::ARCH);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Fails when a read costs more or less than the committed figure says.
pub fn check() -> Vec<Figure> {
    let file = committed();
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `instructions write` makes it", file.display()));
    let held = |(kind, ..): (&str, &str, bool)| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{kind} ")));
        let wanted: f64 = line.unwrap_or_else(|| panic!("{}: nothing about {kind}", file.display())).parse().unwrap();
        let seen = measure(kind) as f64;
        println!(
            "{kind:<20} {seen:>8.0} instructions a read, {wanted:.0} committed ({:+.1} %)",
            100.0 * (seen / wanted - 1.0)
        );
        let far = 100.0 * (seen / wanted - 1.0).abs();
        Figure::new(format!("% of instructions away from the committed ones: {kind}"), Aim::AtMost(TOLERANCE), far)
    };
    let figures = KINDS.into_iter().map(held).collect();
    println!("if a change is meant: cargo bench --bench measure -- instructions write");
    figures
}

/// Writes the figures that are held from now on.
pub fn write() -> Vec<Figure> {
    let lines: String = KINDS.iter().map(|(kind, ..)| format!("{kind} {}\n", measure(kind))).collect();
    let head =
        "# Instructions of a read, as callgrind counts them: cargo bench --bench measure -- instructions write\n";
    std::fs::write(committed(), format!("{head}{lines}")).unwrap();
    print!("{lines}");
    Vec::new()
}

fn measure(kind: &str) -> u64 {
    (collected(kind, MANY) - collected(kind, FEW)) / (MANY - FEW)
}

/// All instructions of a process that makes so many reads.
fn collected(kind: &str, reads: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*read_once*"])
        .arg(std::env::current_exe().unwrap())
        .args(["count", kind, &reads.to_string()])
        .output()
        .expect("valgrind is needed: apt-get install valgrind");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let line = said.lines().find_map(|line| line.split_once("Collected : ")).expect(&said);
    line.1.trim().parse().unwrap()
}

/// Makes so many reads, for callgrind to count.
pub fn count(kind: &str, reads: u64) -> Vec<Figure> {
    let (_, path, with_token) = KINDS.into_iter().find(|(name, ..)| *name == kind).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let service = service(scratch.path()).await;
        let session = service.access.log_in("admin", Zeroizing::new("secret".into()), None, None).await.unwrap();
        let app = test::init_service(App::new().configure(|config| dispatch::mount(config, &service))).await;
        for _ in 0..reads {
            let request = test::TestRequest::get().uri(path).insert_header(("odata-version", "4.0"));
            let request = match with_token {
                true => request.insert_header(("x-auth-token", session.token.as_str())),
                false => request.insert_header(("authorization", "Basic YWRtaW46c2VjcmV0")),
            };
            read_once(&app, request.to_request());
        }
        // What the store holds back is no part of a read.
        std::process::exit(0)
    })
}

/// What is counted: from a request to an answer with its body. A read waits for nothing, so it is over when it returns.
#[inline(never)]
fn read_once<R, B: MessageBody>(app: &impl HttpService<R, Response = ServiceResponse<B>, Error = Error>, request: R) {
    let response = app.call(request).now_or_never().expect("a read waits for nothing").unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().try_into_bytes();
    assert!(body.is_ok_and(|body| !body.is_empty()));
}

/// The service on a fleet whose devices say the same for ever.
async fn service(dir: &Path) -> Data<Service> {
    let (clock, metrics) = (Clock::system(), Metrics::new());
    let (store, _) = Store::open(dir, clock.clone(), metrics.clone()).unwrap();
    let admin = AccountRecord {
        username: "admin".into(),
        password_hash: hash_password("secret").unwrap(),
        role: Role::Administrator,
        enabled: true,
        change: 1,
        password_change_required: false,
        created: Wall(1),
        scope: None,
    };
    store.put_account(admin).await.unwrap();
    let bus = EventBus::new();
    let around =
        NodeContext { clock: clock.clone(), journal: store.clone(), events: bus.clone(), metrics: metrics.clone() };
    let mut keeper = Supervisor::new(around, |_, ()| Box::new(AlwaysOn));
    keeper.apply((0..NODES).map(setup).collect()).await;
    let fleet = keeper.fleet();
    while !fleet.table().values().all(|entry| entry.view().power.is_some()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The actors live until the process ends.
    std::mem::forget(keeper);
    let access = Arc::new(Authenticator::new(store.clone(), clock.clone(), metrics.clone(), true));
    Data::new(Service {
        fleet,
        access: access.clone(),
        uuid: store.service_uuid(),
        port: 0,
        events: Events::start(store.clone(), access, clock.clone(), metrics.clone()),
        certificate: None,
        recorder: Arc::default(),
        bodies: Arc::default(),
        turns: Turns::new(clock.clone()),
        clock,
        metrics,
    })
}

fn setup(index: usize) -> NodeSetup<()> {
    let spec = NodeSpec {
        id: format!("n{index}").parse().unwrap(),
        inventory: Arc::default(),
        timings: Timings {
            poll_interval: Duration::from_secs(3600),
            off_dwell: Duration::from_secs(10),
            command_deadline: Duration::from_secs(60),
            fence_age_max: None,
        },
        device: "a device that is always on".into(),
        kind: &tapo::KIND,
        boot_mode: None,
        boot_targets: None,
        policy: PowerPolicy::default(),
    };
    NodeSetup { spec, device: () }
}

struct AlwaysOn;

impl PowerDevice for AlwaysOn {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(async { Ok(Observation { power: Some(Power::On), ..Observation::default() }) })
    }

    fn order(&mut self, _: PowerAction, _: BootOverride) -> DeviceFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn forget_session(&mut self) {}
}
