//! The guest's bootstrap, and how it stands before a user's own user data.
//!
//! Both become parts of one MIME message. The bootstrap is a boothook: it runs at each boot, before any module of
//! cloud-init, so that the user's packages and scripts find a way out. It bakes in no address, because a disk may boot
//! again under another one.

mod form;
mod message;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

pub use form::Form;

use crate::{
    packing::{self, MOST_BYTES, TooLong, Unreadable},
    texts::{self, File},
};

/// The version of the bootstrap, a fact beside the hash of the user's own text. A newer one is no change of an instance.
pub const VERSION: u32 = 1;

/// What is to be known of a guest when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guest {
    /// Whether a NIC of it has a public IPv4 address from the first boot on.
    pub public_ipv4: bool,
    /// Whether the user turned the bootstrap off (extension `hetzner.cloud/guest-bootstrap: "off"`).
    pub opted_out: bool,
    /// The ranges of networks with a gateway: a hint for guests in two private networks. Empty where it has one.
    pub prefer: Vec<Ipv4Net>,
}

/// User data as the provider is to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserData {
    /// The bootstrap, and behind it the user's own.
    Managed(String),
    /// The user's own, as it was sent. None where there is none. The guest's routes are the user's matter.
    AsSent(Option<String>, Unmanaged),
}

/// Why a guest gets no bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmanaged {
    /// The user turned it off.
    OptedOut,
    /// cloud-init does not read this form, so something else in the image does (Ignition, Talos).
    UnknownForm,
    /// It is packed and cannot be unpacked, or a MIME message that is no UTF-8.
    Unreadable,
}

/// User data that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is fetched before any boothook runs, and there is no way out without a public IPv4 address then.
    Include,
    /// With the bootstrap it is longer than Hetzner Cloud takes in any form.
    TooLong {
        /// The length with the bootstrap.
        whole: TooLong,
        /// The length of the user's own part, unpacked.
        own: usize,
        /// The length of the bootstrap and of what holds the parts together.
        bootstrap: usize,
    },
    /// It is too long as it was sent, and gets no bootstrap.
    TooLongAsSent(TooLong),
}

/// What the provider is to get for this guest. The same input always gives the same text.
///
/// # Errors
/// When the user data cannot be taken; [`crate::sentences::refusal`] says why, and what helps.
pub fn user_data(user: Option<&str>, guest: &Guest) -> Result<UserData, Refusal> {
    let as_sent = |why| {
        let sent = user.map(|text| packing::for_provider(text.to_owned())).transpose();
        sent.map(|text| UserData::AsSent(text, why)).map_err(Refusal::TooLongAsSent)
    };
    if guest.opted_out {
        return as_sent(Unmanaged::OptedOut);
    }
    let own = match packing::unpack(user.unwrap_or_default().as_bytes()) {
        Ok(own) => own,
        Err(Unreadable::Gzip | Unreadable::Bomb) => return as_sent(Unmanaged::Unreadable),
    };
    let form = Form::of(&own);
    if form == Form::Unknown {
        return as_sent(Unmanaged::UnknownForm);
    }
    // Only text fits between the boundaries as it is, and a message cannot be encoded as a whole.
    if form == Form::Message && std::str::from_utf8(&own).is_err() {
        return as_sent(Unmanaged::Unreadable);
    }
    if !guest.public_ipv4 && form::includes(&own) {
        return Err(Refusal::Include);
    }
    let whole = message::compose(&boothook(&guest.prefer), &own, form);
    let bytes = whole.len();
    packing::for_provider(whole).map(UserData::Managed).map_err(|whole| Refusal::TooLong {
        whole,
        own: own.len(),
        bootstrap: bytes.saturating_sub(own.len()),
    })
}

/// The bootstrap by itself, a boothook.
pub fn boothook(prefer: &[Ipv4Net]) -> String {
    let mut text = texts::BOOTHOOK_HEAD.to_owned();
    for File { path, mode, content } in texts::guest(prefer) {
        text += &format!("install_file {path} {mode} <<'SECA_EOF'\n{content}SECA_EOF\n");
    }
    text + texts::BOOTHOOK_TAIL
}

/// How many bytes of a user's own text fit beside the bootstrap as they are; more may fit packed.
pub fn room() -> usize {
    MOST_BYTES.saturating_sub(message::compose(&boothook(&[]), b"#!", Form::Script).len() - 2)
}
