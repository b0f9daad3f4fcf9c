//! Internet gateways: the way out of a network.

use seca_api::Kind;

use super::{KindRules, Peers};

/// What differs about internet gateways.
pub const RULES: KindRules = KindRules {
    // Each network says what it wants of which gateway.
    peers: Peers::InWorkspace(Kind::Network),
    located: true,
    ..KindRules::new(Kind::InternetGateway)
};
