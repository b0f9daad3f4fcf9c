//! What the control plane needs from outside, as traits: storage, cloud, secrets, keys, time and chance.

mod cloud;
mod environment;
mod progress;
mod requests;
mod store;
mod vault;

pub use cloud::*;
pub use environment::*;
pub use progress::*;
pub use requests::*;
pub use store::*;
pub use vault::*;
