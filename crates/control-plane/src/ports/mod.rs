//! What the control plane needs from outside, as traits: storage, cloud, secrets, keys, time and chance.

mod access;
mod cloud;
mod environment;
mod orphans;
mod oversight;
mod progress;
mod provider_rules;
mod requests;
mod store;
mod ties;
mod vault;

pub use access::*;
pub use cloud::*;
pub use environment::*;
pub use orphans::*;
pub use oversight::*;
pub use progress::*;
pub use provider_rules::*;
pub use requests::*;
pub use store::*;
pub use ties::*;
pub use vault::*;
