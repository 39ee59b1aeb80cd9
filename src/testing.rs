//! The facade for the tests, benches and fuzz targets of this package, ordered by room. Everything else is private to
//! the crate, so that the compiler finds unused code.

pub mod account {
    pub use crate::account::{AccessRules, AccountBook, AccountRecord, Role, SessionRecord};
}
pub mod cli {
    #[cfg(fuzzing)]
    pub mod fuzz {
        pub use crate::cli::fuzz::sushy;
    }
}
pub mod clock {
    pub use crate::clock::{Clock, Mono, Wall, secret_bytes};
}
pub mod config {
    pub use crate::config::{AccountPassword, AccountSeed, ServerConfig, TlsConfig, load, load_in, needs_restart};
    pub use crate::reader::Environment;
}
pub mod daemon {
    pub use crate::daemon::{NodePlan, Plan, Running};
}
pub mod driver {
    pub use crate::driver::{DriverConfig, Drivers};
    pub mod amt {
        pub use crate::driver::amt::{AmtConfig, KIND, RATE_LIMIT};
        #[cfg(fuzzing)]
        pub mod fuzz {
            pub use crate::driver::amt::fuzz::{records, reply};
        }
    }
    pub mod digest {
        pub use crate::driver::digest::{Challenge, Claim, authorization};
    }
    pub mod http {
        pub use crate::driver::http::Tls;
    }
    pub mod tapo {
        pub use crate::driver::tapo::{KIND, RATE_LIMIT, TapoConfig, TapoProtocol};
        #[cfg(fuzzing)]
        pub mod fuzz {
            pub use crate::driver::tapo::fuzz::answer;
        }
    }
}
pub mod durable {
    pub use crate::durable::{SettingsStore, WriteError, WriteFuture};
}
pub mod http {
    pub mod auth {
        pub use crate::http::auth::{Authenticator, Privilege, hash_password};
    }
    pub mod connections {
        pub use crate::http::connections::{CONNECTIONS_MAX, Connections};
    }
    pub mod front {
        pub use crate::http::front::Front;
    }
    #[cfg(fuzzing)]
    pub mod fuzz {
        pub use crate::http::fuzz::credentials;
    }
    pub mod server {
        pub use crate::http::server::{Door, bind, raise_file_limit, run};
    }
    pub mod tls {
        pub use crate::http::tls::Certificate;
    }
    pub mod turns {
        pub use crate::http::turns::Turns;
    }
}
pub mod node {
    pub use crate::node::{
        AfterShutdown, Architecture, BootEnabled, BootMode, BootOverride, BootPatch, BootTarget, Drive, Graceful,
        Health, Inventory, MacAddress, MemoryModule, NodeId, NodeSpec, Power, PowerAction, PowerPolicy, PowerSource,
        Processor, Refusal, ResetType, ShutdownHook, Timings, Watts,
    };
    pub mod actor {
        pub use crate::node::actor::NodeContext;
    }
    pub mod calibration {
        pub use crate::node::calibration::{Calibration, CannotCalibrate, Figures, Samples, calibrate};
    }
    pub mod measured {
        pub use crate::node::measured::{Band, Classifier, Reading};
    }
    pub mod device {
        pub use crate::node::device::{
            Capabilities, DeviceError, DeviceFuture, DeviceIdentity, DeviceKind, FailureClass, LogEntry, Observation,
            PowerDevice, ScanResult,
        };
    }
    pub mod entry {
        pub use crate::node::entry::NodeEntry;
    }
    pub mod event {
        pub use crate::node::event::{Event, EventBus, EventKind};
    }
    pub mod fleet {
        pub use crate::node::fleet::Fleet;
    }
    pub mod fsm {
        pub use crate::node::fsm::Op;
    }
    pub mod journal {
        pub use crate::node::journal::{BootRecord, Intent, Journal, NodeRecord, SeenRecord, Stage};
    }
    pub mod rate_limit {
        pub use crate::node::rate_limit::{RateLimit, RequestGate};
    }
    pub mod reload {
        pub use crate::node::reload::NodeSetup;
    }
    pub mod supervisor {
        pub use crate::node::supervisor::Supervisor;
    }
    pub mod trust {
        pub use crate::node::trust::{Proof, TrustBook, TrustRecord, VolatileBook};
    }
    pub mod view {
        pub use crate::node::view::NodeView;
    }
}
pub mod redfish {
    pub use crate::redfish::{SITEMAP, Service, dispatch, route};
    pub mod events {
        pub use crate::redfish::events::Events;
    }
    pub mod query {
        pub use crate::redfish::query::{Query, first_page};
        pub mod filter {
            pub use crate::redfish::query::filter::Filter;
        }
    }
    pub mod resource {
        pub use crate::redfish::resource::Resource;
    }
}
pub mod sim {
    pub use crate::sim::{
        AMT_PORT, AMT_TLS_PORT, Account, Action, Binding, BootCause, BootSource, Cause, Choke, Computer, ComputerAct,
        ComputerChange, ComputerConfig, ComputerState, Consent, ControlMode, Fault, Forgery, Impersonation, Kind, Load,
        LoginVersion, Lost, Machine, MachineConfig, MachineQuirks, MeterFault, Model, OnShutdown, Plug, PlugConfig,
        Power, PowerLoss, Profile, Quirks, Rack, RackConfig, RackError, Selector, SimOptions, Timings, Variant,
        WsmanFault, run,
    };
    pub mod fault {
        pub use crate::sim::fault::WsmanFault;
    }
}
pub mod store {
    pub use crate::store::Store;
    #[cfg(fuzzing)]
    pub mod fuzz {
        pub use crate::store::fuzz::kept;
    }
    pub mod test_store {
        pub use crate::store::test_store::TestStore;
    }
}
pub mod telemetry {
    pub use crate::telemetry::Metrics;
}
