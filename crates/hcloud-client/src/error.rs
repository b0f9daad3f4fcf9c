//! Errors and what to do about them.
//!
//! Statuses drift (`invalid_input` came with 400 and 422, the rate limit once with 403), so the
//! class of an error follows its `code`; the status decides only where there is no known code.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error as ThisError;

use crate::api::{ApiResponse, TransportError, TransportErrorKind};
use crate::bounds::{MAX_CODE, MAX_NAMES, clipped};
use crate::http::CORRELATION_ID;
use crate::types::{Action, Id};

/// A call that did not do what was asked.
#[derive(Clone, Debug, ThisError)]
pub enum Error {
    /// The provider answered with an error.
    #[error("{operation}: {error}")]
    Api {
        /// Method and path.
        operation: String,
        /// Whether the call was to change something.
        mutating: bool,
        /// The answer.
        error: Box<ApiError>,
    },
    /// No whole answer arrived.
    #[error("{operation}: {error}")]
    Transport {
        /// Method and path.
        operation: String,
        /// Whether the call was to change something.
        mutating: bool,
        /// What happened.
        error: TransportError,
    },
    /// The provider reported success in a form that cannot be read.
    #[error("{operation}: the provider's answer ({status}) cannot be read: {message}")]
    Decode {
        /// Method and path.
        operation: String,
        /// Whether the call was to change something.
        mutating: bool,
        /// Status of the answer.
        status: StatusCode,
        /// Where reading stopped; never the answer itself.
        message: String,
    },
    /// A list goes on beyond what is read of one.
    #[error("{operation}: the provider's list has more than {most} pages, the most that are read of one")]
    TooManyPages {
        /// Method and path.
        operation: String,
        /// The bound.
        most: u32,
    },
    /// The provider no longer lists an action; read the resource to learn what became of it.
    #[error("action {0} is no longer listed by the provider; read the resource it was to change")]
    ActionGone(Id<Action>),
    /// Not sent: the project's request budget has no room for it soon.
    #[error("{operation}: not sent, for the request budget of the project is spent; about {} s", after.as_secs_f64().ceil())]
    Throttled {
        /// Method and path.
        operation: String,
        /// When to come back.
        after: Duration,
    },
    /// Not sent: the caller's [`Gate`](crate::Gate) was closed when the request's turn came.
    #[error("{operation}: not sent: {why}")]
    NotSent {
        /// Method and path.
        operation: String,
        /// What the gate said.
        why: String,
    },
    /// The request could not be put into JSON.
    #[error("{operation}: the request cannot be written: {message}")]
    Encode {
        /// Method and path.
        operation: String,
        /// Why.
        message: String,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Api { mutating, error, .. } => error.class(*mutating),
            Self::Transport { mutating, error, .. } => match (error.kind, mutating) {
                (TransportErrorKind::NotSent, _) => ErrorClass::ProviderDown,
                (_, true) => ErrorClass::Ambiguous,
                (TransportErrorKind::TooLong, false) => ErrorClass::ProviderDown,
                (_, false) => ErrorClass::Retry,
            },
            Self::TooManyPages { .. } => ErrorClass::ProviderDown,
            Self::Decode { mutating: true, .. } => ErrorClass::Ambiguous,
            Self::ActionGone(_) => ErrorClass::NotFound,
            Self::NotSent { .. } => ErrorClass::NotSent,
            Self::Throttled { after, .. } => ErrorClass::RateLimited { retry_after: *after },
            Self::Decode { .. } | Self::Encode { .. } => ErrorClass::Bug,
        }
    }

    /// Whether a change may have been made all the same: look before sending it again.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        self.class() == ErrorClass::Ambiguous
    }

    /// The provider's error, if it answered with one.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What happened to the request, if no whole answer arrived.
    #[must_use]
    pub const fn transport(&self) -> Option<TransportErrorKind> {
        match self {
            Self::Transport { error, .. } => Some(error.kind),
            _ => None,
        }
    }

    /// The provider's error code, if it answered with an error.
    #[must_use]
    pub fn code(&self) -> Option<&ErrorCode> {
        self.api().map(|error| &error.code)
    }
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// A read failed in passing; it may simply be repeated.
    Retry,
    /// The resource is locked by another change: requeue, 1 to 15 s. Nothing was done.
    Locked,
    /// The resource changed meanwhile: requeue with jitter. Nothing was done.
    Conflict,
    /// The project's budget is spent; nothing was done.
    RateLimited {
        /// When to come back at the earliest.
        retry_after: Duration,
    },
    /// The caller's own [`Gate`](crate::Gate) was closed; nothing was done. Ask again later.
    NotSent,
    /// A limit of the account: a condition; come back in 5 to 15 minutes.
    Quota,
    /// No capacity, or placement impossible: fall back or come back slowly.
    Capacity,
    /// A name or key is taken: look it up, adopt it if it is ours.
    Uniqueness,
    /// It does not exist, by the provider's own word (its JSON with the code `not_found` or
    /// `firewall_resource_not_found`, never the status alone): a delete is done, anything else must be made again
    /// or adopted.
    NotFound,
    /// The token is not valid or lacks rights: stop calling with it.
    Unauthorized,
    /// The token only reads.
    ReadOnly,
    /// The request is not acceptable and repeating it changes nothing.
    InvalidInput,
    /// The provider is down, in maintenance or out of reach, or a read was answered with what cannot be the
    /// provider's (a proxy's page, a list without end); nothing was done. Come back slowly.
    ProviderDown,
    /// The outcome of a change is unknown: look for its effect, never send it again blindly.
    Ambiguous,
    /// The wished state may already hold: read the resource to be sure.
    AlreadyDone,
    /// Something else must happen first, or the state forbids it: read again, then decide.
    Precondition,
    /// Protected, or locked by the provider's support: a person must act.
    Protected,
    /// The endpoint was removed; this client is too old.
    Deprecated,
    /// A defect of this client or of the provider.
    Bug,
}

crate::types::open_enum! {
    /// The provider's error codes (official spec; hetzner-cloud docs and clients).
    ErrorCode {
        JsonError = "json_error",
        Unauthorized = "unauthorized",
        TokenReadonly = "token_readonly",
        Forbidden = "forbidden",
        Maintenance = "maintenance",
        ResourceLimitExceeded = "resource_limit_exceeded",
        NotFound = "not_found",
        FirewallResourceNotFound = "firewall_resource_not_found",
        MethodNotAllowed = "method_not_allowed",
        Conflict = "conflict",
        UniquenessError = "uniqueness_error",
        DeprecatedApiEndpoint = "deprecated_api_endpoint",
        ResourceUnavailable = "resource_unavailable",
        PlacementError = "placement_error",
        NoSpaceLeftInLocation = "no_space_left_in_location",
        InvalidInput = "invalid_input",
        InvalidServerType = "invalid_server_type",
        IncompatibleNetworkType = "incompatible_network_type",
        PrimaryIpDatacenterMismatch = "primary_ip_datacenter_mismatch",
        PrimaryIpVersionMismatch = "primary_ip_version_mismatch",
        UnsupportedError = "unsupported_error",
        ServiceError = "service_error",
        MustBeUnassigned = "must_be_unassigned",
        ServerNotStopped = "server_not_stopped",
        IpNotAvailable = "ip_not_available",
        NoSubnetAvailable = "no_subnet_available",
        NetworksOverlap = "networks_overlap",
        ResourceInUse = "resource_in_use",
        PrivateNetOnlyServer = "private_net_only_server",
        PrimaryIpAssigned = "primary_ip_assigned",
        PrimaryIpAlreadyAssigned = "primary_ip_already_assigned",
        ServerHasIpv4 = "server_has_ipv4",
        ServerHasIpv6 = "server_has_ipv6",
        FirewallManagedByLabelSelector = "firewall_managed_by_label_selector",
        ServerAlreadyAttached = "server_already_attached",
        ServerAlreadyAdded = "server_already_added",
        VolumeAlreadyAttached = "volume_already_attached",
        FirewallAlreadyApplied = "firewall_already_applied",
        FirewallAlreadyRemoved = "firewall_already_removed",
        Locked = "locked",
        Protected = "protected",
        ResourceLocked = "resource_locked",
        RateLimitExceeded = "rate_limit_exceeded",
        ServerError = "server_error",
        BadGateway = "bad_gateway",
        Unavailable = "unavailable",
        Timeout = "timeout",
    }
}

/// An error answer of the provider.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Code; `Unknown("http_502")` and the like if the answer was not the provider's JSON.
    pub code: ErrorCode,
    /// Message.
    pub message: String,
    /// Details; their form depends on the code.
    pub details: Option<Value>,
    /// `X-Correlation-Id`, for the provider's support.
    pub correlation_id: Option<String>,
    /// The answer is not the provider's JSON: something on the way to it answered. Nothing that it says of a
    /// resource counts.
    pub foreign: bool,
    /// When the budget has a token again; set by the client that keeps the budget.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, HTTP {})", self.message, self.code, self.status.as_u16())?;
        if let Some(id) = &self.correlation_id {
            write!(f, ", correlation id {id}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

#[derive(Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Deserialize)]
struct Body {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<Value>,
}

impl ApiError {
    /// Reads an error answer; an answer that is not the provider's JSON (a proxy's page) is kept
    /// apart, because its 404 does not mean that a resource is gone.
    #[must_use]
    pub fn from_response(response: &ApiResponse) -> Self {
        let status = response.status;
        let correlation_id =
            response.headers.get(CORRELATION_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let envelope = serde_json::from_slice::<Envelope>(&response.body).ok();
        match envelope.map(|envelope| envelope.error).filter(|error| error.code.len() <= MAX_CODE) {
            Some(error) => Self {
                status,
                code: ErrorCode::from(error.code.as_str()),
                message: clipped(error.message),
                details: error.details.filter(|details| !details.is_null()),
                correlation_id,
                foreign: false,
                retry_after: None,
            },
            None => Self {
                status,
                code: bare_code(status),
                message: "the answer does not come from the Hetzner Cloud API; check the endpoint".to_owned(),
                details: None,
                correlation_id,
                foreign: true,
                retry_after: None,
            },
        }
    }

    /// The fields an `invalid_input` or `uniqueness_error` names.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        self.detail_names("fields")
    }

    /// The limits a `resource_limit_exceeded` names (`primary_ip_limit`).
    #[must_use]
    pub fn limits(&self) -> Vec<&str> {
        self.detail_names("limits")
    }

    fn detail_names(&self, key: &str) -> Vec<&str> {
        self.details
            .as_ref()
            .and_then(|details| details.get(key)?.as_array())
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.get("name")?.as_str())
            .filter(|name| name.len() <= MAX_CODE)
            .take(MAX_NAMES)
            .collect()
    }

    /// What to do about it; a change that met a failure of the provider is ambiguous.
    #[must_use]
    pub fn class(&self, mutating: bool) -> ErrorClass {
        use ErrorCode as C;
        let failure = |read: ErrorClass| match mutating {
            true => ErrorClass::Ambiguous,
            false => read,
        };
        match &self.code {
            C::Unauthorized | C::Forbidden => ErrorClass::Unauthorized,
            C::TokenReadonly => ErrorClass::ReadOnly,
            C::Maintenance => ErrorClass::ProviderDown,
            C::ResourceLimitExceeded => ErrorClass::Quota,
            C::NotFound | C::FirewallResourceNotFound => ErrorClass::NotFound,
            C::Conflict => ErrorClass::Conflict,
            C::UniquenessError => ErrorClass::Uniqueness,
            C::DeprecatedApiEndpoint => ErrorClass::Deprecated,
            C::ResourceUnavailable | C::PlacementError | C::NoSpaceLeftInLocation => ErrorClass::Capacity,
            C::InvalidInput if self.is_capacity_in_disguise() => ErrorClass::Capacity,
            C::InvalidInput
            | C::InvalidServerType
            | C::IncompatibleNetworkType
            | C::PrimaryIpDatacenterMismatch
            | C::PrimaryIpVersionMismatch => ErrorClass::InvalidInput,
            C::UnsupportedError
            | C::ServiceError
            | C::MustBeUnassigned
            | C::ServerNotStopped
            | C::IpNotAvailable
            | C::NoSubnetAvailable
            | C::NetworksOverlap
            | C::ResourceInUse
            | C::PrivateNetOnlyServer
            | C::PrimaryIpAssigned
            | C::PrimaryIpAlreadyAssigned
            | C::ServerHasIpv4
            | C::ServerHasIpv6
            | C::FirewallManagedByLabelSelector => ErrorClass::Precondition,
            C::ServerAlreadyAttached
            | C::ServerAlreadyAdded
            | C::VolumeAlreadyAttached
            | C::FirewallAlreadyApplied
            | C::FirewallAlreadyRemoved => ErrorClass::AlreadyDone,
            C::Locked => ErrorClass::Locked,
            C::Protected | C::ResourceLocked => ErrorClass::Protected,
            C::RateLimitExceeded => self.rate_limited(),
            C::ServerError | C::BadGateway | C::Timeout => failure(ErrorClass::Retry),
            C::Unavailable => failure(ErrorClass::ProviderDown),
            C::JsonError | C::MethodNotAllowed => ErrorClass::Bug,
            C::Unknown(_) if self.foreign => self.class_of_bare_status(mutating),
            C::Unknown(_) => self.class_of_unknown_code(mutating),
        }
    }

    /// An answer in the provider's form with a code of tomorrow: the status says the most, but never that
    /// something does not exist or that a request can never be accepted. A gateway may answer in the same form.
    fn class_of_unknown_code(&self, mutating: bool) -> ErrorClass {
        match self.status.as_u16() {
            409 => ErrorClass::Conflict,
            412 => ErrorClass::Capacity,
            400 | 422 => ErrorClass::Precondition,
            423 => ErrorClass::Locked,
            _ => self.class_of_bare_status(mutating),
        }
    }

    /// An answer that did not come from the API itself. It does not tell whether the API saw a change, unless it
    /// says that the request was kept out (401, 403, 429).
    fn class_of_bare_status(&self, mutating: bool) -> ErrorClass {
        match (self.status.as_u16(), mutating) {
            (401, _) => ErrorClass::Unauthorized,
            (403, _) => ErrorClass::ProviderDown,
            (429, _) => self.rate_limited(),
            (500 | 502 | 504, false) => ErrorClass::Retry,
            (_, true) => ErrorClass::Ambiguous,
            (_, false) => ErrorClass::ProviderDown,
        }
    }

    fn rate_limited(&self) -> ErrorClass {
        ErrorClass::RateLimited { retry_after: self.retry_after.unwrap_or(Duration::from_secs(1)) }
    }

    /// The provider words "none left of this type here" as bad input too.
    fn is_capacity_in_disguise(&self) -> bool {
        self.message.to_ascii_lowercase().contains("unsupported location for server type")
    }
}

fn bare_code(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        502 => ErrorCode::BadGateway,
        504 => ErrorCode::Timeout,
        503 => ErrorCode::Unavailable,
        other => ErrorCode::Unknown(format!("http_{other}")),
    }
}
