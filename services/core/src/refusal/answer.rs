//! How a refusal is answered: its class, its gRPC code, what a resource server says.
//!
//! **Invariant:** an answer that may be repeated never looks like one that is over.

use super::Reason;

/// How an answer is classed, so that "dead" is told from "hiccup" by the code alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Class {
    /// The request is wrong in itself.
    Invalid,
    /// Nobody, or not who they say.
    Unauthenticated,
    /// Known, and not permitted.
    Denied,
    /// Over; a retry is useless: sign in again.
    Dead,
    /// Not there.
    NotFound,
    /// There already, with other content.
    Exists,
    /// Repeat later with the same arguments.
    Retry,
    /// A limit.
    Limit,
}

/// The codes of gRPC that a refusal can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum GrpcCode {
    /// 3.
    InvalidArgument,
    /// 5.
    NotFound,
    /// 6.
    AlreadyExists,
    /// 7.
    PermissionDenied,
    /// 8.
    ResourceExhausted,
    /// 9.
    FailedPrecondition,
    /// 10.
    Aborted,
    /// 12.
    Unimplemented,
    /// 14.
    Unavailable,
    /// 16.
    Unauthenticated,
}

impl GrpcCode {
    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::InvalidArgument => 3,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::Unimplemented => 12,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// What a resource server answers: one table for its HTTP and its gRPC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AtResource {
    /// 401, UNAUTHENTICATED.
    Unauthenticated,
    /// 403, PERMISSION_DENIED.
    Denied,
    /// 503, UNAVAILABLE.
    Unavailable,
}

impl AtResource {
    /// The code of gRPC.
    #[must_use]
    pub const fn grpc_code(self) -> GrpcCode {
        match self {
            Self::Unauthenticated => GrpcCode::Unauthenticated,
            Self::Denied => GrpcCode::PermissionDenied,
            Self::Unavailable => GrpcCode::Unavailable,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
            Self::Denied => 403,
            Self::Unavailable => 503,
        }
    }
}

impl Reason {
    /// The code of gRPC.
    #[must_use]
    pub const fn grpc_code(self) -> GrpcCode {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "exceptions from the class's code; every other reason has that"
        )]
        match self {
            Self::NotImplemented => GrpcCode::Unimplemented,
            Self::Conflict => GrpcCode::Aborted,
            // The caller; or the client of the request, which must prove itself: the contract says so.
            Self::CallerUnknown
            | Self::ClientAuthenticationFailed
            | Self::BindingMissing
            | Self::BindingWrong => GrpcCode::Unauthenticated,
            // A token in a request that is over, rather than malformed.
            Self::TokenExpired | Self::TokenRevoked => GrpcCode::FailedPrecondition,
            other => other.class().grpc_code(),
        }
    }

    /// What a resource server answers where this is why.
    #[must_use]
    pub const fn at_resource(self) -> AtResource {
        match self.class() {
            Class::Retry | Class::Limit => AtResource::Unavailable,
            Class::Denied => AtResource::Denied,
            Class::Invalid | Class::Unauthenticated | Class::Dead | Class::NotFound | Class::Exists => {
                AtResource::Unauthenticated
            }
        }
    }
}

impl Class {
    /// The code of gRPC, exceptions aside.
    const fn grpc_code(self) -> GrpcCode {
        match self {
            // The form of a token that the request holds.
            Self::Invalid | Self::Unauthenticated => GrpcCode::InvalidArgument,
            Self::Denied => GrpcCode::PermissionDenied,
            Self::Dead => GrpcCode::FailedPrecondition,
            Self::NotFound => GrpcCode::NotFound,
            Self::Exists => GrpcCode::AlreadyExists,
            Self::Retry => GrpcCode::Unavailable,
            Self::Limit => GrpcCode::ResourceExhausted,
        }
    }
}
