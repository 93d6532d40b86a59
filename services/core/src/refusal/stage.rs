//! The stages of the sign-in pipeline: where something was refused.

/// The stages that a person can find their trouble in (DESIGN section 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Stage {
    /// 1: the request itself.
    Request,
    /// 2: the subject proves itself.
    PrimaryAuthentication,
    /// 3: policy.
    ConditionalAccess,
    /// 4: what policy asks for in addition.
    AdditionalControls,
    /// 5: the authorization code.
    Code,
    /// 6: tokens are issued.
    Issuance,
    /// 7: a resource is called.
    ResourceCall,
    /// 8: tokens are renewed without the user.
    SilentRenewal,
}

impl Stage {
    /// Every stage, in the order of the pipeline.
    pub const ALL: [Self; 8] = [
        Self::Request,
        Self::PrimaryAuthentication,
        Self::ConditionalAccess,
        Self::AdditionalControls,
        Self::Code,
        Self::Issuance,
        Self::ResourceCall,
        Self::SilentRenewal,
    ];

    /// Its number, 1 to 8.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::PrimaryAuthentication => 2,
            Self::ConditionalAccess => 3,
            Self::AdditionalControls => 4,
            Self::Code => 5,
            Self::Issuance => 6,
            Self::ResourceCall => 7,
            Self::SilentRenewal => 8,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::PrimaryAuthentication => "primary_authentication",
            Self::ConditionalAccess => "conditional_access",
            Self::AdditionalControls => "additional_controls",
            Self::Code => "code",
            Self::Issuance => "issuance",
            Self::ResourceCall => "resource_call",
            Self::SilentRenewal => "silent_renewal",
        }
    }
}
