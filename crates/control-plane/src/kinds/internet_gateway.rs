//! Internet gateways: the way out of a network.

use seca_api::Kind;

use super::KindRules;

/// What differs about internet gateways.
pub const RULES: KindRules = KindRules::new(Kind::InternetGateway);
