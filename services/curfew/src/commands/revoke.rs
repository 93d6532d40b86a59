//! `curfew revoke`: ends live tokens by any scope, and shows how far that is.

use clap::{Args, Subcommand};
use curfew_proto::log::v1::{ClaimMatch, Initiator};
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;

use super::acknowledged::{Level, Motive};
use super::fault::Fault;
use super::name::Tenant;
use super::progress::waiting;
use super::{Common, acknowledged, json, print, word};
use crate::cli::Failure;
use crate::client::Calls;
use crate::client::request_id;

/// Ends live tokens by any scope, and shows how far that is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Revoke {
    #[command(subcommand)]
    what: What,
    /// Only say what it would end; nothing is revoked.
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(flatten)]
    motive: Motive,
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Every session of a subject that was opened before now.
    Subject {
        /// The subject: its id with `--tenant`, or its full name. It need never have been seen.
        subject: String,
        /// A session that stays: its `sid`, or its full name.
        #[arg(long, value_name = "SESSION")]
        except: Option<String>,
    },
    /// One session with every grant and token of it.
    Session {
        /// The session: its `sid` with `--tenant`, or its full name.
        session: String,
    },
    /// One grant with its tokens and those exchanged for them.
    Grant {
        /// The grant: `{session}/{grant}` with `--tenant`, or its full name.
        grant: String,
    },
    /// One access token, by its `jti`. It cascades to nothing.
    Token {
        /// The token's `jti`, which `curfew token inspect` shows.
        jti: String,
    },
    /// Every grant of a client, and its application tokens.
    Client {
        /// The client: its id with `--tenant`, or its full name.
        client: String,
    },
    /// Every session from a device, whoever's it is.
    Device {
        /// The device's id, `deviceid` in tokens.
        device: String,
    },
    /// Every session that an identity provider vouched for.
    Provider {
        /// The provider, `idp` in tokens.
        idp: String,
    },
    /// Everything that a foreign issuer's key has signed. Curfew's own keys are revoked by `curfew key revoke`.
    Key {
        /// The key's id, `kid` in the token's header.
        kid: String,
        /// The foreign issuer's entry: its id, or its full name.
        #[arg(long, value_name = "ISSUER")]
        issuer: Option<String>,
    },
    /// Every session of the tenant: everybody is signed out.
    Tenant {
        /// Yes, everybody. Without it only `--dry-run` is possible.
        #[arg(long)]
        yes: bool,
    },
    /// Tokens with certain claims, of the tenant itself or of a foreign issuer.
    Claims {
        /// What a covered token has, all of it, such as `sub=alice`; at most four claims.
        #[arg(required = true, num_args = 1..=4, value_name = "CLAIM=VALUE", value_parser = criterion)]
        all_of: Vec<ClaimMatch>,
        /// The foreign issuer's entry: its id, or its full name. By default the tenant's own tokens.
        #[arg(long, value_name = "ISSUER")]
        issuer: Option<String>,
        /// Only tokens from before now, by this claim. Without it also tokens that are issued later.
        #[arg(long, value_name = "CLAIM", value_parser = ["sid", "gid", "iat", "auth_time"])]
        before: Option<String>,
        /// Add the foreign issuer's clock error to that instant: no old token escapes, some new ones may die.
        #[arg(long, requires = "before", requires = "issuer")]
        add_clock_error: bool,
    },
}

fn criterion(text: &str) -> Result<ClaimMatch, String> {
    match text.split_once('=') {
        Some((claim, value)) if !claim.is_empty() && !value.is_empty() => Ok(ClaimMatch {
            claim: claim.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err(format!("`{text}` is not of the form CLAIM=VALUE")),
    }
}

pub(crate) async fn run(args: Revoke) -> Result<(), Failure> {
    let mut request = request(&args)?;
    request.validate_only = args.dry_run;
    request.cause.clone_from(&args.motive.cause);
    request.initiator = Initiator::Admin.into();
    request.ack_level = args.motive.level.to_proto().into();
    request.correlation_id.clone_from(&args.motive.correlation_id);
    request.request_id = request_id();
    let mut revocations = RevocationServiceClient::new(args.common.connection.open().await?);
    let answer = waiting(
        "waiting for the revocation",
        revocations.create_revocation(request),
    );
    let mut answer = answer.await?.into_inner();
    if args.motive.level == Level::Enforced && !args.dry_run {
        enforced(&mut revocations, &mut answer).await?;
    }
    args.common.show(|| json::of(&answer), || table(&answer))
}

/// Waits on where the call itself could not: a guard's bound may be longer than any call.
async fn enforced(
    revocations: &mut RevocationServiceClient<Calls>,
    answer: &mut pb::CreateRevocationResponse,
) -> Result<(), Failure> {
    let Some(told) = answer
        .acknowledgement
        .as_ref()
        .filter(|told| told.level() != pb::AckLevel::Enforced)
    else {
        return Ok(());
    };
    let wait = pb::WaitRevocationRequest {
        name: told.revocation.clone(),
        level: pb::AckLevel::Enforced.into(),
        timeout: None,
    };
    let waited = waiting("waiting for guards", revocations.wait_revocation(wait)).await?;
    if let Some(told) = waited.into_inner().acknowledgement {
        answer.acknowledgement = Some(told);
    }
    Ok(())
}

fn request(args: &Revoke) -> Result<pb::CreateRevocationRequest, Fault> {
    let tenant = &args.tenant;
    let mut request = pb::CreateRevocationRequest::default();
    // The tenant of a full name, else the one that was said.
    let mut parent = String::new();
    let mut named = |collection: &str, text: &str| {
        let name = tenant.of(collection, text)?;
        parent = tenant.parent(&name)?;
        Ok::<_, Fault>(name)
    };
    let issuer = |issuer: &Option<String>| match issuer {
        Some(issuer) => tenant.of("issuers", issuer),
        None => Ok(String::new()),
    };
    request.scope = Some(match &args.what {
        What::Subject { subject, except } => {
            let subject = named("subjects", subject)?;
            let except = except.iter().map(|session| tenant.of("sessions", session));
            let except = except.collect::<Result<_, _>>()?;
            Scope::Subject(pb::SubjectScope { subject, except })
        }
        What::Session { session } => Scope::Session(pb::SessionScope {
            session: named("sessions", session)?,
        }),
        What::Grant { grant } => {
            let grant = tenant.grant(grant)?;
            parent = tenant.parent(&grant)?;
            Scope::Grant(pb::GrantScope { grant })
        }
        What::Token { jti } => Scope::Token(pb::TokenScope {
            jti: jti.clone(),
            expire_time: None,
        }),
        What::Client { client } => Scope::Client(pb::ClientScope {
            client: named("clients", client)?,
        }),
        What::Device { device } => Scope::Device(pb::DeviceScope {
            device: device.clone(),
        }),
        What::Provider { idp } => Scope::Provider(pb::ProviderScope { idp: idp.clone() }),
        What::Key { kid, issuer: entry } => {
            request.issuer = issuer(entry)?;
            Scope::Key(pb::KeyScope { kid: kid.clone() })
        }
        What::Tenant { yes } => {
            if !yes && !args.dry_run {
                return Err(
                    Fault::usage(format!("this signs everybody of {} out", tenant.name()?))
                        .fix("say `--yes` if that is meant, or `--dry-run` to see how many sessions it ends"),
                );
            }
            Scope::Tenant(pb::TenantScope {})
        }
        What::Claims {
            all_of,
            issuer: entry,
            before,
            add_clock_error,
        } => {
            request.issuer = issuer(entry)?;
            request.add_clock_error = *add_clock_error;
            Scope::Criteria(pb::Criteria {
                all_of: all_of.clone(),
                before: before.as_ref().map(|claim| pb::BeforeInstant {
                    claim: claim.clone(),
                    time: None,
                }),
                except: Vec::new(),
            })
        }
    });
    if !request.issuer.is_empty() {
        parent = tenant.parent(&request.issuer)?;
    }
    request.parent = if parent.is_empty() { tenant.name()? } else { parent };
    Ok(request)
}

fn table(answer: &pb::CreateRevocationResponse) -> String {
    if let Some(preview) = &answer.preview {
        let count = |count: i64| {
            if preview.exact {
                count.to_string()
            } else {
                format!("at least {count}")
            }
        };
        return print::fields([
            ("would end", "nothing was revoked".to_owned()),
            ("sessions", count(preview.session_count)),
            ("grants", count(preview.grant_count)),
        ]);
    }
    let revocation = answer.revocation.clone().unwrap_or_default();
    let criteria = revocation.criteria.clone().unwrap_or_default();
    let all_of = criteria.all_of.iter();
    let all_of = all_of
        .map(|one| format!("{}={}", one.claim, one.value))
        .collect::<Vec<_>>();
    let mut lines = acknowledged::lines(answer.acknowledgement.as_ref());
    lines.extend([
        ("scope", revocation.scope.clone()),
        ("covers", all_of.join(" ")),
        ("cause", revocation.cause.clone()),
        ("by", word(revocation.initiator().as_str_name(), "INITIATOR_")),
        (
            "in every partition",
            if revocation.wide { "yes" } else { "no" }.to_owned(),
        ),
    ]);
    print::fields(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_without_a_value_is_none() {
        assert_eq!(criterion("sub=a=b").map(|one| one.value), Ok("a=b".to_owned()));
        assert!(criterion("sub").is_err() && criterion("=x").is_err() && criterion("sub=").is_err());
    }
}
