//! The echo: the token service without a service behind it.
//!
//! It answers a refresh with as many bytes as a node does and does nothing else: what remains is the
//! price of gRPC itself.
//!
//! **Invariant:** nothing is read, signed or written for an answer.

use curfew_proto::token::v1 as pb;
use curfew_proto::token::v1::token_service_server::{TokenService, TokenServiceServer};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::failure::Failure;

/// An access token of a node is about that long, bytes; a refresh token is 170.
const ACCESS_TOKEN_BYTES: usize = 900;
const REFRESH_TOKEN_BYTES: usize = 170;

/// Answers what is always the same.
#[derive(Debug)]
struct Echo {
    tokens: pb::TokenSet,
}

impl Echo {
    fn new() -> Self {
        let now = Some(prost_types::Timestamp {
            seconds: 1_760_000_000,
            nanos: 0,
        });
        let of = |length| "a".repeat(length);
        Self {
            tokens: pb::TokenSet {
                access_token: of(ACCESS_TOKEN_BYTES),
                token_type: "Bearer".to_owned(),
                access_token_expire_time: now,
                refresh_token: of(REFRESH_TOKEN_BYTES),
                refresh_token_expire_time: now,
                scopes: vec!["offline_access".to_owned(), "orders.read".to_owned()],
                resource: "tenants/acme/resources/orders".to_owned(),
                audience: "https://orders.acme.example".to_owned(),
                jti: of(36),
                grant: of(100),
                session_expire_time: now,
                session_idle_expire_time: now,
                ..Default::default()
            },
        }
    }
}

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("an echo answers refreshes alone"))
}

#[tonic::async_trait]
impl TokenService for Echo {
    async fn refresh_tokens(
        &self,
        _: Request<pb::RefreshTokensRequest>,
    ) -> Result<Response<pb::RefreshTokensResponse>, Status> {
        Ok(Response::new(pb::RefreshTokensResponse {
            tokens: Some(self.tokens.clone()),
            cause: pb::RefreshCause::Rotated.into(),
            stage: 8,
            decision_id: "0197c5a2-7b3c-7000-8000-000000000001".to_owned(),
        }))
    }

    async fn issue_app_token(
        &self,
        _: Request<pb::IssueAppTokenRequest>,
    ) -> Result<Response<pb::IssueAppTokenResponse>, Status> {
        Ok(Response::new(pb::IssueAppTokenResponse {
            tokens: Some(self.tokens.clone()),
            ..Default::default()
        }))
    }

    async fn issue_tokens(
        &self,
        _: Request<pb::IssueTokensRequest>,
    ) -> Result<Response<pb::IssueTokensResponse>, Status> {
        nothing()
    }

    async fn exchange_token(
        &self,
        _: Request<pb::ExchangeTokenRequest>,
    ) -> Result<Response<pb::ExchangeTokenResponse>, Status> {
        nothing()
    }

    async fn revoke_token(
        &self,
        _: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::RevokeTokenResponse>, Status> {
        nothing()
    }

    async fn introspect_token(
        &self,
        _: Request<pb::IntrospectTokenRequest>,
    ) -> Result<Response<pb::IntrospectTokenResponse>, Status> {
        nothing()
    }

    async fn explain_token(
        &self,
        _: Request<pb::ExplainTokenRequest>,
    ) -> Result<Response<pb::ExplainTokenResponse>, Status> {
        nothing()
    }

    async fn get_key_set(
        &self,
        _: Request<pb::GetKeySetRequest>,
    ) -> Result<Response<pb::GetKeySetResponse>, Status> {
        nothing()
    }
}

/// Serves on a free port of loopback, whose address it prints, until standard input ends. As many
/// threads as a node has: one for each core.
pub(crate) fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            // Whatever is said, only the end counts; a sender that is dropped is heard too.
            drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
            drop(end);
        });
        let over = async move { drop(ended.await) };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tonic::transport::Server::builder()
            .add_service(TokenServiceServer::new(Echo::new()))
            .serve_with_incoming_shutdown(incoming, over)
            .await?;
        Ok(())
    })
}
