//! Why a request is not answered.

use hyper::StatusCode;

/// Why a request is not answered, and what its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: StatusCode,
    /// A sentence.
    pub message: String,
    /// Seconds after which another try may succeed.
    pub retry_after: Option<u32>,
    /// The parameter that is to blame, and a word for what is wrong with it, where the client is one of OpenAI's.
    pub parameter: Option<(String, &'static str)>,
    /// The method that would have been right.
    pub allowed: Option<&'static str>,
}

impl Refused {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            parameter: None,
            allowed: None,
        }
    }

    /// With the parameter that is to blame, and a word for what is wrong with it.
    #[must_use]
    pub fn about(self, parameter: &str, code: &'static str) -> Self {
        let parameter = Some((parameter.to_owned(), code));
        Self { parameter, ..self }
    }

    /// The request is wrong.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is too much to do for now.
    pub fn busy(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// More was sent than is taken.
    pub fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {most} bytes, the most that is taken: send less at once"),
        )
    }

    /// The request's own time is over.
    pub fn expired() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the request's `timeout` was over before it was answered",
        )
    }
}
