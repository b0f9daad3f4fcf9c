#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod listener;
pub mod route;
pub mod service;

mod activity;
mod admin;
mod answer;
mod body;
mod config;
mod docs;
mod headers;
mod health;
mod meter;
mod observe;
mod paging;
mod public;
mod published_keys;
mod query;
mod room;
mod throttle;
mod tls;

pub use activity::Recorder;
pub use admin::{admin_assignment_name, admin_router};
pub use config::{AdminConfig, ApiConfig, Limits, UnknownParameters};
pub use health::Readiness;
pub use listener::{Options, SilentLimits, serve, serve_tls};
pub use meter::{Answered, Exposition, Meter, Metrics};
pub use public::{public_router, public_router_over};
pub use service::Service;
pub use throttle::{Rate, Rates};
pub use tls::{ClientCertificate, Tls, TlsError, TlsFiles};
