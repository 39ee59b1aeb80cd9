//! Asking the operating system of a machine behind an outlet to shut down: by a program, or by an HTTP request.
//!
//! What the program or the server says of it is never taken for the end: an SSH server often dies before it answers, and a
//! hook may say yes and do nothing. The core waits until the machine draws nothing, and cuts the power only then. Only what
//! was certainly not asked is a failure; what may have been asked and went oddly is told as a notice.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::http::{ANSWER_BYTES_MAX, ClientConfig, Deadlines, HttpClient, HttpError, Post, RequestContext, Tls};
use super::registry::{DeviceConfig, Shared};
use super::{DeviceContext, Driver};
use crate::clock::Clock;
use crate::node::device::{
    Capabilities, DeviceError, DeviceFuture, DeviceIdentity, FailureClass, Notice, Observation, PowerDevice,
    PowerRestore, ScanResult,
};
use crate::node::rate_limit::{RateLimit, RequestGate, at_least_one};
use crate::node::trust::Proven;
use crate::node::{BootOverride, BootTarget, Power, PowerAction, ShutdownHook};
use crate::text;

/// How long a program may take: a login over SSH to a busy machine takes some seconds. It holds up the readings of its plug.
const PROGRAM_MAX: Duration = Duration::from_secs(20);

/// After the end of a program: what it started and left behind may hold its standard error open.
const WORDS_MAX: Duration = Duration::from_millis(200);

/// So much of what a program says is kept; the rest is read and dropped, so that it does not block.
const WORDS_BYTES_MAX: usize = 300;

/// One request to a hook is all that a command makes; a client that repeats its command waits for the next one.
const HOOK_RATE_LIMIT: RateLimit =
    RateLimit { gap: Duration::from_secs(1), per_second: at_least_one(1), burst: at_least_one(1) };

/// How long a hook is waited for.
const HOOK_DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(3), exchange: Duration::from_secs(10) };

/// An outlet, and the hook of its machine.
pub(super) struct HookedConfig {
    pub device: Arc<dyn DeviceConfig>,
    pub hook: ShutdownHook,
    /// Those of the node.
    pub boot_targets: Vec<BootTarget>,
}

impl fmt::Debug for HookedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.device, self.hook)
    }
}

impl PartialEq for HookedConfig {
    fn eq(&self, other: &HookedConfig) -> bool {
        let HookedConfig { device, hook, boot_targets } = self;
        device.as_ref().equals(other.device.as_ref()) && *hook == other.hook && *boot_targets == other.boot_targets
    }
}

impl DeviceConfig for HookedConfig {
    fn driver(&self) -> &'static dyn Driver {
        self.device.driver()
    }

    fn label(&self) -> String {
        self.device.label()
    }

    fn named(&self) -> Proven {
        self.device.named()
    }

    fn note(&self) -> Option<&'static str> {
        self.device.note()
    }

    fn remark(&self, about: &DeviceIdentity) -> Option<&'static str> {
        self.device.remark(about)
    }

    fn gate_key(&self) -> String {
        self.device.gate_key()
    }

    fn open(&self, shared: &Shared, context: DeviceContext) -> Box<dyn PowerDevice> {
        let gate = RequestGate::new(context.clock.clone(), HOOK_RATE_LIMIT);
        let hooked = DeviceContext { gate, ..context.clone() };
        let device = self.device.open(shared, context);
        Box::new(WithShutdown::new(device, self.hook.clone(), &self.boot_targets, hooked))
    }
}

/// An outlet whose machine can be asked to shut down.
struct WithShutdown {
    device: Box<dyn PowerDevice>,
    hook: ShutdownHook,
    context: DeviceContext,
    /// What it can do while the outlet is on, and while it is off.
    abilities: [Arc<Capabilities>; 2],
    /// What was odd about the last request.
    remark: Option<String>,
}

impl WithShutdown {
    /// `device`, which knows on and off, with a hook; `boot_targets`: those of the node.
    fn new(
        device: Box<dyn PowerDevice>,
        hook: ShutdownHook,
        boot_targets: &[BootTarget],
        context: DeviceContext,
    ) -> WithShutdown {
        let abilities = |orders: &[PowerAction]| {
            Arc::new(Capabilities { orders: orders.to_vec(), boot_targets: boot_targets.to_vec() })
        };
        let abilities = [
            abilities(&[PowerAction::On, PowerAction::Off, PowerAction::GracefulOff]),
            abilities(&[PowerAction::On, PowerAction::Off]),
        ];
        WithShutdown { device, hook, context, abilities, remark: None }
    }

    async fn ask(&mut self) -> Result<(), DeviceError> {
        let asked = match &self.hook {
            ShutdownHook::Exec(argv) => run(argv, self.context.node.as_str(), &self.context.clock, PROGRAM_MAX).await,
            ShutdownHook::Http { url, token } => post(url, token.as_ref(), &self.context).await,
        };
        match asked {
            Ok(remark) => {
                self.remark = remark;
                Ok(())
            }
            Err(text) => Err(DeviceError::new(FailureClass::Refused, text)),
        }
    }
}

impl PowerDevice for WithShutdown {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(async move {
            let mut seen = self.device.read().await?;
            let [on, off] = &self.abilities;
            seen.capabilities = Some(if seen.power == Some(Power::Off) { off.clone() } else { on.clone() });
            if seen.power == Some(Power::Off) {
                self.remark = None;
            }
            if let Some(remark) = &self.remark {
                seen.notices.push(Notice { key: "shutdown-request", text: remark.clone() });
            }
            Ok(seen)
        })
    }

    fn order(&mut self, order: PowerAction, boot: BootOverride) -> DeviceFuture<'_, ()> {
        if order == PowerAction::GracefulOff {
            return Box::pin(self.ask());
        }
        self.device.order(order, boot)
    }

    fn scan(&mut self) -> DeviceFuture<'_, ScanResult> {
        self.device.scan()
    }

    fn set_power_restore(&mut self, policy: PowerRestore) -> DeviceFuture<'_, ()> {
        self.device.set_power_restore(policy)
    }

    fn forget_session(&mut self) {
        self.device.forget_session();
    }
}

/// Runs a program. `Ok` with what was odd about it, when it was started; `Err` when it was not.
async fn run(argv: &[String], node: &str, clock: &Clock, limit: Duration) -> Result<Option<String>, String> {
    let [program, arguments @ ..] = argv else { return Err("the shutdown program has no name".into()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // None of our own secrets; a group of its own, so that what it starts ends with it.
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("PLUGFISH_NODE", node);
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        format!("the shutdown program {program} cannot be started: {error}; nothing was asked of the machine")
    })?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut words = Vec::new();
    let ended = clock.limit(limit, ended(&mut child, &mut words, clock)).await;
    let Some(ended) = ended else {
        if let Some(group) = group {
            // An error says that it is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let seconds = limit.as_secs();
        return Ok(Some(format!("the shutdown program {program} did not end within {seconds} s, and was killed")));
    };
    let words = text::clean(String::from_utf8_lossy(&words).trim().replace('\n', "; "));
    let words = if words.is_empty() { words } else { format!(": {words}") };
    match ended {
        Ok(status) if status.success() => Ok(None),
        Ok(status) => Ok(Some(format!("the shutdown program {program} ended with {status}{words}"))),
        Err(error) => Ok(Some(format!("the end of the shutdown program {program} is not known: {error}"))),
    }
}

/// The end of a program, with the beginning of what it said.
async fn ended(child: &mut Child, words: &mut Vec<u8>, clock: &Clock) -> std::io::Result<ExitStatus> {
    let Some(mut stderr) = child.stderr.take() else { return child.wait().await };
    let status = tokio::select! {
        status = child.wait() => status?,
        () = read_words(&mut stderr, words) => child.wait().await?,
    };
    clock.limit(WORDS_MAX, read_words(&mut stderr, words)).await;
    Ok(status)
}

async fn read_words(from: &mut (impl AsyncRead + Unpin), words: &mut Vec<u8>) {
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let room = WORDS_BYTES_MAX.saturating_sub(words.len()).min(length);
        words.extend(piece.iter().take(room));
    }
}

/// Sends the request. `Ok` with what was odd about it, when it may have been read; `Err` when it was not, or was refused.
async fn post(url: &str, token: Option<&SecretString>, context: &DeviceContext) -> Result<Option<String>, String> {
    let tls = if url.starts_with("https:") { Tls::Verify } else { Tls::Off };
    let config =
        ClientConfig { deadlines: HOOK_DEADLINES, answer_bytes_max: ANSWER_BYTES_MAX, idle_max: Duration::ZERO, tls };
    let nothing = |why: &dyn fmt::Display| format!("the shutdown hook was not asked: {why}");
    let client = HttpClient::new(&config).map_err(|error| nothing(&error))?;
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| nothing(&"its token has characters that no header carries"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let request = RequestContext { context, op: "set", step: "shutdown", attempt: 1 };
    match client.post(request, Post { url: url.into(), headers, body: Vec::new() }).await {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(None),
        Ok(answer) => {
            Err(format!("the shutdown hook refused with HTTP {}; the machine was not shut down", answer.status))
        }
        Err(error @ (HttpError::Unreachable(_) | HttpError::Unmakeable(_) | HttpError::Tls(_))) => Err(nothing(&error)),
        Err(error) => Ok(Some(format!("the shutdown hook may have been asked: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    async fn exec(argv: &[&str]) -> Result<Option<String>, String> {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        run(&argv, "node-1", &Clock::system(), LIMIT).await
    }

    #[tokio::test]
    async fn what_a_program_says_is_told_and_never_believed() {
        assert_eq!(exec(&["/bin/true"]).await, Ok(None));
        let failed = exec(&["/bin/sh", "-c", "echo no route >&2; echo to host >&2; exit 255"]).await.unwrap().unwrap();
        assert_eq!(failed, "the shutdown program /bin/sh ended with exit status: 255: no route; to host");
        let missing = exec(&["/nowhere/ssh"]).await.unwrap_err();
        assert!(missing.contains("cannot be started") && missing.contains("nothing was asked"), "{missing}");
        assert!(exec(&[]).await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_says_much_and_one_that_stays_behind_hold_nothing_up() {
        let clock = Clock::system();
        let start = clock.now().mono;
        let loud =
            exec(&["/bin/sh", "-c", "head -c 4000000 /dev/zero | tr '\\0' x >&2; exit 3"]).await.unwrap().unwrap();
        assert!(loud.len() < 500 && loud.contains("exit status: 3"), "{loud}");
        assert_eq!(exec(&["/bin/sh", "-c", "sleep 60 & exit 0"]).await, Ok(None));
        assert!(clock.now().mono.since(start) < Duration::from_secs(10));
    }

    /// Sleeps for real, as it waits for a process.
    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_what_it_started() {
        let mark = std::env::temp_dir().join(format!("plugfish-shutdown-{}", std::process::id()));
        let script = format!("(sleep 4; touch {}) & wait", mark.display());
        let said = exec(&["/bin/sh", "-c", &script]).await.unwrap().unwrap();
        assert!(said.contains("did not end within 2 s"), "{said}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!mark.exists(), "its child is gone too");
    }

    #[tokio::test]
    async fn it_gets_the_nodes_name_and_none_of_our_environment() {
        let said =
            exec(&["/bin/sh", "-c", "echo $PLUGFISH_NODE $CARGO_MANIFEST_DIR >&2; exit 1"]).await.unwrap().unwrap();
        assert!(said.ends_with(": node-1"), "{said}");
    }
}
