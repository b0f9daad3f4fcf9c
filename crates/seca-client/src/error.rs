//! What can go wrong between a client and a server.

use std::time::Duration;

use seca_api::{Kind, Problem};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be used.
    #[error("`{url}` is not an address to call; write one like https://seca.example.org")]
    Address {
        /// The address.
        url: String,
    },
    /// A name cannot stand in a path.
    #[error("`{0}` cannot stand in a path; give a name of letters and digits")]
    Name(String),
    /// A kind does not live where it was looked for.
    #[error("no {} lives in {place}; name {}", kind.noun(), wanted(*kind))]
    Place {
        /// The kind.
        kind: Kind,
        /// Where it was looked for, in words.
        place: &'static str,
    },
    /// The bearer token cannot be sent.
    #[error("the bearer token holds characters that no header can carry; check the file that it came from")]
    Token,
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The region does not offer a provider.
    #[error("region `{region}` offers no provider {provider}; choose another region, or another server")]
    Provider {
        /// The provider, `seca.compute/v1`.
        provider: &'static str,
        /// The region.
        region: String,
    },
    /// No answer came.
    #[error("{call}: no answer; check that the server is running and reachable")]
    Transport {
        /// Method and path.
        call: String,
        /// What the transport says.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("{call}: {problem}")]
    Problem {
        /// Method and path.
        call: String,
        /// What it says.
        problem: Box<Problem>,
    },
    /// The answer has a status that the API does not know here, or no problem document.
    #[error("{call}: unexpected answer {status}: {excerpt}; check that this is a SECA server")]
    Unexpected {
        /// Method and path.
        call: String,
        /// The status code.
        status: u16,
        /// The beginning of the body.
        excerpt: String,
    },
    /// The answer cannot be read.
    #[error("{call}: the answer cannot be read; check that client and server speak the same version")]
    Decode {
        /// Method and path.
        call: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The pages of a list go on for ever.
    #[error("{call}: the list does not end: its pages repeat or are empty; report it to the server's operator")]
    EndlessList {
        /// Method and path.
        call: String,
    },
    /// The resource is in the state `error`.
    #[error("{what} is in the state error: {why}")]
    Failed {
        /// The resource.
        what: String,
        /// Its newest condition, in words.
        why: String,
    },
    /// A wait took too long.
    #[error("{what} was not {wanted} after {} s; last seen: {last}", waited.as_secs_f32())]
    Deadline {
        /// The resource.
        what: String,
        /// What was waited for: `active`, `gone`.
        wanted: &'static str,
        /// How long.
        waited: Duration,
        /// The newest condition or failure, in words.
        last: String,
    },
}

impl Error {
    /// The problem document, where the server sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// The status code of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem { problem, .. } => Some(problem.status),
            Self::Unexpected { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the server says, in a document of its own, that there is no such thing. A 404 of something else
    /// on the way is no proof.
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }

    /// Whether the version named by the caller is stale.
    pub fn is_stale(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 412)
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            other => matches!(other.status(), Some(429 | 502 | 503 | 504)),
        }
    }
}

const fn wanted(kind: Kind) -> &'static str {
    match kind.scope() {
        seca_api::Scope::Network => "a workspace and a network",
        seca_api::Scope::Workspace => "a workspace",
        _ => "neither workspace nor network",
    }
}
