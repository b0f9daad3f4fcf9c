//! The typed calls, one file per resource. `null` bodies, paging and retries are in `project.rs`.

mod actions;
mod catalog;
mod firewalls;
mod networks;
mod placement_groups;
mod primary_ips;
mod servers;
mod ssh_keys;
mod volumes;

pub use catalog::ImageFilter;
