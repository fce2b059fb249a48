//! The closed list of codes. A code is stable: it is part of the public API in REST, gRPC and GraphQL alike.

use tonic::Code;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $grpc:ident, $retryable:literal, $title:literal;)*) => {
        /// What went wrong, in one word that clients may branch on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The stable text: `code` in REST, `ErrorInfo.reason` in gRPC, `extensions.code` in GraphQL.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }

            /// The gRPC status.
            #[must_use]
            pub fn grpc_code(self) -> Code {
                match self { $(ErrorCode::$name => Code::$grpc,)* }
            }

            /// Whether the same request may succeed later without any change.
            #[must_use]
            pub fn is_retryable(self) -> bool {
                match self { $(ErrorCode::$name => $retryable,)* }
            }

            /// A short, constant title for the problem document.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(ErrorCode::$name => $title,)* }
            }

            /// The code with this text.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(ErrorCode::$name),)* _ => None }
            }
        }
    };
}

error_codes! {
    /// The request is well-formed but a value in it is not allowed; `errors` names each place.
    ValidationFailed = "validation_failed", 400, InvalidArgument, false, "Validation failed";
    /// The body is not JSON, or not JSON that this API reads (duplicate keys, too deep, trailing bytes).
    MalformedJson = "malformed_json", 400, InvalidArgument, false, "Malformed JSON";
    /// A query parameter is unknown or has a value that cannot be read.
    InvalidParameter = "invalid_parameter", 400, InvalidArgument, false, "Invalid parameter";
    /// The cursor was not made by this API, or belongs to another list.
    InvalidCursor = "invalid_cursor", 400, InvalidArgument, false, "Invalid cursor";
    /// An id in the path is not a UUID.
    InvalidId = "invalid_id", 400, InvalidArgument, false, "Invalid id";
    /// No credentials, or credentials that are not valid.
    Unauthenticated = "unauthenticated", 401, Unauthenticated, false, "Authentication required";
    /// The signature of a received webhook does not match.
    InvalidSignature = "invalid_signature", 401, Unauthenticated, false, "Invalid signature";
    /// The credentials do not allow this.
    PermissionDenied = "permission_denied", 403, PermissionDenied, false, "Permission denied";
    /// There is no such thing for this organization.
    NotFound = "not_found", 404, NotFound, false, "Not found";
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", 405, Unimplemented, false, "Method not allowed";
    /// The answer cannot be given in any of the accepted types.
    NotAcceptable = "not_acceptable", 406, InvalidArgument, false, "Not acceptable";
    /// It exists already, or was changed at the same time.
    Conflict = "conflict", 409, AlreadyExists, false, "Conflict";
    /// The key of an upsert (`match`) fits several records.
    AmbiguousMatch = "ambiguous_match", 409, FailedPrecondition, false, "Ambiguous match";
    /// A request with the same idempotency key is still running.
    IdempotencyInProgress = "idempotency_in_progress", 409, Aborted, true, "Request in progress";
    /// The position is older than what is kept.
    CursorExpired = "cursor_expired", 410, OutOfRange, false, "Cursor expired";
    /// The record changed since it was read (`If-Match`).
    PreconditionFailed = "precondition_failed", 412, FailedPrecondition, false, "Precondition failed";
    /// The body, a batch or an item is larger than allowed.
    TooLarge = "too_large", 413, InvalidArgument, false, "Too large";
    /// The content type, charset or encoding of the body is not supported.
    UnsupportedMediaType = "unsupported_media_type", 415, InvalidArgument, false, "Unsupported media type";
    /// The idempotency key was used with another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422, InvalidArgument, false, "Idempotency key reused";
    /// Too many requests; wait for the time in `Retry-After`.
    RateLimited = "rate_limited", 429, ResourceExhausted, true, "Too many requests";
    /// A limit of the plan is reached.
    QuotaExceeded = "quota_exceeded", 429, ResourceExhausted, false, "Quota exceeded";
    /// A failure on our side; the request id finds it in the logs.
    Internal = "internal", 500, Internal, true, "Internal error";
    /// This part is not available in this installation.
    Unimplemented = "unimplemented", 501, Unimplemented, false, "Not implemented";
    /// A part that is needed is not reachable, or overloaded; nothing was changed.
    Unavailable = "unavailable", 503, Unavailable, true, "Service unavailable";
    /// It took longer than allowed.
    DeadlineExceeded = "deadline_exceeded", 504, DeadlineExceeded, true, "Deadline exceeded";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_round_trips_and_is_unique() {
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()));
            assert_eq!(ErrorCode::parse(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.http_status()));
        }
    }
}
