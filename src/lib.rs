//! plugfish gives machines without a BMC a Redfish BMC.
//!
//! Every physical **node** has one **device** that switches its power: a TP-Link Tapo smart plug, an outlet of a strip, or
//! the Intel AMT engine in the machine itself. One actor per node owns that device: it alone talks to it, one request at a
//! time, within the device's rate limit. Redfish clients (Ironic, Metal3, people, Prometheus) are answered from memory. **A
//! client's request never becomes a device request**, except a command, and a command is durable before it is
//! acknowledged.
//!
//! # Glossary
//!
//! | word | meaning |
//! | --- | --- |
//! | node | one physical machine and the device that switches its power; an entry of nodes.yaml |
//! | machine | the PC behind a node, never a state machine |
//! | device | what switches the power: a plug, an outlet of a strip, an AMT engine |
//! | driver | the code that speaks one kind of device's protocol ([`driver`]) |
//! | FSM | the pure state machine of a node: `step(input, moment) -> effects` ([`node::fsm`]) |
//! | actor | the task around one FSM that owns the device and runs the effects ([`node::actor`]) |
//! | supervisor | starts, restarts and reloads actors ([`node::supervisor`]) |
//! | fleet | the published table of nodes that HTTP workers read ([`node::fleet`]) |
//! | view | an immutable snapshot of one node, exchanged after every step ([`node::view`]) |
//! | command | a Redfish reset that a client requested, from acceptance to its end |
//! | intent | the durable part of a command |
//! | power action | one request to a device that changes power; a command needs one or several |
//! | observation | the result of one reading of the device |
//! | inventory scan | reading the components of the machine, one scan step at a time |
//! | capabilities | the operations that a device supports now |
//! | connectivity | whether the device answers: backoff, circuit breaker, held login |
//! | journal | the interface through which the core makes things durable ([`node::journal`]) |
//! | group commit | one synchronous write of the store for all pending changes ([`store`]) |
//! | write-behind | a change that may be lost in a power cut, and is written a little later |
//! | manifest | the list of records that the database must hold, to detect losses |
//! | trust record | what a device has proved about its identity, kept on disk |
//! | flight recorder | the last exchanges with each device, without secrets |
//! | rack, board | the simulated devices, and a simulated machine behind one ([`sim`]) |
//!
//! # Rooms, and which may use which
//!
//! ```text
//! main -> cli -> daemon -> page -> redfish -> http -> node <- driver <- { tapo, amt }
//!         |         |-> config ----------------------- ^ ----> ^ ^
//!         |         \-> store  ------------------------/         |  (same wire, no shared code)
//!         \-> sim  . . . . . . . . . . . . . . . . . . . . . . ./
//! config, driver -> reader -> node
//! clock, durable, telemetry, account, recorder, files, text: leaves.
//! ```
//!
//! | room | purpose |
//! | --- | --- |
//! | [`cli`] | the command line: `demo`, `check`, `discover`, the clients of a running daemon, `export`, `restore`, conversion of files |
//! | [`daemon`] | the composition root: starts everything in order, ends it in order, reloads |
//! | [`config`] | nodes.yaml: all problems at once, with path and line; secrets; what needs a restart |
//! | [`reader`] | reading a file of keys: a cursor that writes down every problem with its place; secrets, addresses, what may not be there twice |
//! | [`node`] | **the core**: the FSM with every rule about power, the actor around it, the fleet, views, events |
//! | [`driver`] | devices: negotiation, login, requests, diagnosis; each driver with its own section of nodes.yaml. [`driver::DRIVERS`] is the list of them |
//! | [`store`] | the state that survives a power cut: intents, boot overrides, trust records, accounts, sessions. sled, with checks around it |
//! | [`redfish`] | the service: the sitemap, one file per DMTF schema, error bodies from the message registries |
//! | [`http`] | listeners, TLS, authentication, `/metrics`, `/healthz`, `/readyz` |
//! | [`page`] | the status page at `/`: a Redfish client in the browser, and one document of its own |
//! | [`sim`] | a rack of simulated plugs and AMT machines on real sockets, written independently of the drivers |
//! | [`clock`] | time and random numbers; no other room reads a clock or draws one |
//! | [`telemetry`] | logs and the registry of metrics |
//! | [`recorder`] | the flight recorder: the last exchanges with each device, without secrets |
//! | [`files`] | opening files without hanging, and without following a link to write elsewhere |
//! | [`text`] | sanitizes text of devices for terminals and logs |
//! | [`durable`] | the contract of a durable write: one future and one error for everything that is stored |
//! | [`account`] | the types of accounts and sessions that `config`, `http` and `store` share |
//! | [`testing`] | the facade for the tests of this package; everything else is private to the crate |
//!
//! These boundaries hold, and `tests/tidy.rs` checks them: `node` knows no HTTP, no bytes of a device
//! protocol, no files and no formats; `redfish` and `http` know no driver and no store; `driver` and `sim` do not know each
//! other; sled is used in one file, the YAML parser in one file.
//!
//! # What happens
//!
//! - **A read**: a worker thread authenticates the request ([`http::auth`]: a table, or a remembered credential), finds the
//!   route in [`redfish::SITEMAP`], the node in the fleet's published table, and answers from its current
//!   [`NodeView`](node::view::NodeView). No mailbox, no lock across an await, no disk, no device.
//! - **A command**: goes into the node's bounded mailbox; [`Fsm::step`](node::fsm::Fsm::step) accepts, coalesces, supersedes or
//!   refuses it; the intent is made durable; *then* the client is answered; then the device is switched, and read until it
//!   shows the wanted state. A power cycle records each stage before it begins, so that a crash between two stages is a known
//!   state that the next start finishes.
//! - **A poll**: on the node's own schedule, spread over the fleet; backoff while the device fails; a circuit breaker that
//!   refuses new commands while it is away. A change that no client commanded is reported as coming from outside.
//! - **A crash**: every node starts as "last known", is served at once, and an unfinished intent is checked against the device
//!   before anything is done. A panic in one actor closes its mailbox for good; its drop guard notifies the
//!   [`Supervisor`](node::supervisor::Supervisor), which restarts it from the journal.
//!
//! # Decisions, and their price
//!
//! ## Devices and their rate
//!
//! - **One request at a time and a gap of 250 ms after each**, counted from its end: a plug never receives more than four in a
//!   second, whatever the delays of the network. Price: a login with its first request takes about a second.
//! - **A connection to a plug is kept for 3 s, not from poll to poll**: a plug supports only a few, and its buffers would be
//!   most of a node's memory. Price: a TCP handshake for each poll, a quarter more CPU. AMT connections are kept, since TLS is
//!   expensive for the engine.
//! - **Wrong credentials are not retried for half an hour.** A proof that does not match is requested once more (answers get
//!   damaged), and credentials that were right before are given up only at the third refusal.
//! - **The inventory is scanned one step at a time**, while no other request is pending: a command never waits for a scan.
//! - **Another machine at a node's address** (by its UUID) is neither believed nor switched.
//! - **The flight recorder shows only those texts of a device that are known to be harmless**, by a list of keys, so that a
//!   field of future firmware reveals nothing. Price: a new field has to be put on the list before a bug report shows it.
//!
//! ## Commands, and the power state that is shown
//!
//! - **A command for the state last seen is checked with a reading** instead of being called done at once: the plug's button
//!   may have been pressed. Price: one request.
//! - **A node that is being turned on is shown as `Off` until it is read as on** (Redfish would allow `PoweringOn`): Ironic
//!   treats `PoweringOn` as on.
//! - **A machine that sleeps is shown as `On`**, with the state `StandbyOffline`: Ironic treats `Paused` as an error, and a
//!   machine that is reported as off could wake up beside its replacement.
//! - **A command that ends in a boot shows as the state `Starting`** until it is over: not every restart passes through `Off`.
//! - **The core speaks of power actions, not of relays**: each reading of a device lists what it can do now
//!   ([`Capabilities`](node::device::Capabilities)), and other commands are composed of on and off, or not offered. An action
//!   that ends where it began (a restart by the device itself) cannot be verified by a reading: it counts as done when the
//!   device acknowledged it and the node is read as on. When its answer is lost the driver looks for evidence of the restart,
//!   and without any it is sent again. Price: a machine that leaves no evidence may restart twice.
//! - **A boot override of AMT is written right before the action that boots**, since AMT keeps it for one boot, whatever causes
//!   that boot. Price: a boot that was not commanded here does not use it.
//! - **A machine behind a plug is off by its draw only where the operator says `measured`**: Ironic turns a machine on again
//!   that it did not turn off. Off is concluded from several readings, and never from a missing one. Price: thresholds for each
//!   machine.
//! - **A machine that is asked to shut down through a hook is cut when it draws nothing, and never at a deadline**: a client
//!   that wants a cut asks for it. Price: a machine that hangs needs a second command.
//! - **The behaviour of a plug after a power loss is set in the plug**, and the client is answered after it was read back: the
//!   plug is the only store of it, so that it cannot differ from a record of ours. Price: such a PATCH takes some seconds, and
//!   one that is not confirmed within eight ends as not known.
//! - **No LastResetTime**: a restart by the device or by the operating system itself cannot be seen.
//!
//! ## Redfish resources
//!
//! - **No collection is shown empty because its content is unknown** (Storage, Memory): empty means that the machine has none.
//!   No asset tag and no indicator LED: no device here has one that a client could use.
//! - **Drives are shown as one SimpleStorage**, and each with its serial number under the chassis: a Storage would have to name
//!   controllers and volumes, which no device reports, and Ironic's interoperability profile fails one without them. Price:
//!   Ironic's inspection takes names and sizes from a SimpleStorage, but no serial numbers.
//! - **A processor's threads and a drive's medium and protocol are null where they are unknown**, instead of being left out:
//!   that profile requires them, and null means the same.
//! - **The boot mode is shown although no device sets it**, with the value in nodes.yaml (`boot_mode`, by default UEFI for
//!   AMT), and is the only allowable value: Ironic would assume that the mode of a node without it can be changed.
//! - **A plug is a rack PDU with outlets**, which is the matching schema, and its measurements are sensors in the chassis of
//!   its node. Outlets are read only: a node is switched through its System, so that there is one way and one log of it.
//! - **The older Power is kept beside PowerSubsystem**: Ironic reads watts nowhere else. Price: two warnings for each metered
//!   node in DMTF's validator.
//! - **The TaskService is always empty**: nothing here is a task. A command is answered when it is durable, and its end is an
//!   event.
//! - **Registries are served without the `Severity` that their schema deprecates**; `MessageSeverity` has the same value.
//! - **A System is never answered with 304**: its ETag changes only with properties that a client can write, and so does not
//!   cover its power state.
//! - **The ETag of a node is a counter**: `If-Match` is checked again by the actor, where the change is made. The ETag of a
//!   resource that clients cannot write is a digest of its body, and such a resource is answered with 304.
//! - **A PATCH is applied in part** if the rest can never be written (the answer lists the ignored properties); a wrong value
//!   rejects all of it, since half of a boot override would boot the wrong thing.
//! - **Queries are answered from the same resources as plain reads, and are not cached**; `$expand` stops at 1000 resources, at
//!   four levels, and at what the caller may read.
//! - **`/status` and `/trace/{node}` are outside of Redfish**: no schema has the age of a state or an exchange with a device,
//!   and `plugfish status` costs one read however many nodes there are. Price: a format of our own to keep stable
//!   (`docs/commands.md`).
//! - **The status page logs in, switches and listens over Redfish, and reads one other document** (`/page/nodes`): curves, ages
//!   and the last events of every node would be four reads of each. Price: a format of our own, for the page only.
//! - **Event ids count up from the wall clock of the start**, so that a client of the stream that reconnects after a restart
//!   learns that events are missing. Price: none, with less than a thousand events in a second.
//!
//! ## Accounts and access
//!
//! - **A session or a remembered credential stays valid during a lock**: a lock of an account and the throttle of an address
//!   block new logins only; otherwise a client that knows a name could lock Ironic out. Price: a stolen password that was used
//!   before works during the lock. Locks and throttles are forgotten at a restart, so that guesses never reach the disk.
//! - **An account may see some of the nodes only**, whatever its role: clients that know one system for each address act on the
//!   first or the last. What it does not see is 404. The limit stands in nodes.yaml alone, and outlives the account's line
//!   there. Price: such an Administrator manages nothing that all nodes share.
//! - **Cross-origin requests of a browser are refused, reads included**: the browser adds Basic credentials, and `auth: none`
//!   needs none. A request without `Origin` and `Sec-Fetch-Site` does not come from a browser. Price: a page behind a proxy
//!   that hides `Host` needs HTTPS.
//! - **A stream of events ends with the session or the account that opened it**, and does not keep the session alive. Price: a
//!   client that only listens logs in again after the timeout. A subscription belongs to its account alone, and outlives
//!   sessions.
//! - **Sessions, streams and subscriptions are counted for each account**, and only its own make room: there is no bound over
//!   all but the number of accounts.
//! - **Events reach this machine and its link only for an Administrator**, by number and by name: an allow-list would have to
//!   be maintained.
//! - **Logins and changes by clients are events for subscribers that name them**: a subscription or a stream without a
//!   selection gets events of nodes only, since it would otherwise contain every request of Ironic. They go to Administrators
//!   of all nodes, and are not replayed: a flood of wrong logins would displace the events of nodes. There is no security
//!   LogService: the schema has one below a Manager only, and a Manager here is the BMC of one node. The service's own log
//!   keeps all of it.
//! - **A login is logged by name only if there is an account of that name**, since people type passwords into the wrong field.
//! - **A subscriber's certificate is checked only if its client sets `VerifyCertificate`**, as the schema specifies. The
//!   headers that a client adds to a subscription are never shown; the state directory holds them unencrypted.
//!
//! ## Connections and performance
//!
//! - **Rendered bodies are cached per worker until the view changes**: a read costs about as much as in a bare handler (`cargo
//!   bench --bench measure -- reads`). Price: some memory, bounded.
//! - **Large bodies are sent a little at a time, small ones in one piece**: an HTTP library copies its input, once for each
//!   client. Small bodies are the common reads; they are neither copied, compressed nor shared.
//! - **When the table is full, the address with most connections loses the one that it used least recently**, instead of a
//!   fixed share for each address: one client alone may have all, and a trusted proxy counts as many. Price: a scan of all
//!   connections, some microseconds, for each new one while the table is full.
//! - **A query that reads all nodes leaves the workers, one at a time**: it takes one core. Price: a second one waits for the
//!   first.
//! - **The self-signed certificate is rarely created again**, and keeps its key: clients pin it. Price: a new address of the
//!   machine is not in it until an operator requests that.
//!
//! ## Configuration, storage and operation
//!
//! - **Files are polled every second instead of watched**: that detects a link with a new target (Kubernetes) and works on
//!   network file systems, and is the same everywhere. Price: a second or two until a change takes effect.
//! - **A certificate from files is not replaced over Redfish**: the next deployment of the files would restore the old one.
//! - **A configuration without nodes is valid**, with a warning: a package starts its service before the first node is written.
//! - **Sockets from systemd take the place of `server.listen`**, all of it: two lists would have to agree.
//! - **systemd's watchdog is fed while the daemon can still do its work**: every actor answers, or is about to be restarted;
//!   every HTTP worker runs. No request to ourselves: it would reach one worker, and none while clients hold all connections. A
//!   device or a disk that does not answer has no effect, since a restart helps neither.
//! - **`export` and `restore` need a stopped daemon**: the lock of the state directory then proves that nothing writes.
//! - **sled is a cache of knowledge that polling rebuilds, plus a few intents**: checksummed, with a manifest, a `state.json`
//!   backup and our own fsync. Price: about 3 MB.
//! - **The database is opened twice at each start**, and the data written in between must be there: with one damaged segment
//!   sled accepts writes, syncs them, and never finds them again. A database that fails this is copied. Price: some tens of
//!   milliseconds.

#![warn(unreachable_pub)]
#![allow(rustdoc::private_intra_doc_links)] // the rooms are private, and their documentation is built with them

mod account;
pub mod cli;
mod clock;
mod config;
mod daemon;
mod driver;
mod durable;
mod files;
mod http;
mod node;
mod page;
mod reader;
mod recorder;
mod redfish;
mod sim;
mod store;
mod telemetry;
pub mod testing;
mod text;
