//! What the control plane needs from outside, as traits: storage, cloud, secrets, keys, time and chance.

mod access;
mod bindings;
mod cloud;
mod environment;
mod orphans;
mod oversight;
mod progress;
mod provider_rules;
mod queue;
mod reads;
mod requests;
mod store;
mod ties;
mod vault;
mod writes;

pub use access::*;
pub use bindings::*;
pub use cloud::*;
pub use environment::*;
pub use orphans::*;
pub use oversight::*;
pub use progress::*;
pub use provider_rules::*;
pub use queue::*;
pub use reads::*;
pub use requests::*;
pub use store::*;
pub use ties::*;
pub use vault::*;
pub use writes::*;
