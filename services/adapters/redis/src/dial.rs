//! One connection: TCP, TLS, login, bounded in time.
//!
//! **Invariant:** whatever goes wrong here, nothing has been asked of the store.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::fault::{Effect, Fault};
use crate::options::{Address, Credentials, Options};
use crate::tls::{Connector, TlsError};

/// How connections are made to one kind of server.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    tls: Option<Connector>,
    login: RedisConnectionInfo,
    timeout: Duration,
    pub(crate) response_ms: u64,
}

/// A socket, with TLS or without.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// The task that moves a connection's bytes; it ends with this.
#[derive(Debug)]
pub(crate) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Dial {
    /// To data nodes.
    pub(crate) fn to_nodes(options: &Options) -> Result<Self, TlsError> {
        Self::new(options, options.credentials.as_ref(), options.database)
    }

    /// To Sentinels, who have users of their own.
    pub(crate) fn to_sentinels(
        options: &Options,
        credentials: Option<&Credentials>,
    ) -> Result<Self, TlsError> {
        Self::new(options, credentials, 0)
    }

    fn new(options: &Options, credentials: Option<&Credentials>, database: u16) -> Result<Self, TlsError> {
        let mut login = RedisConnectionInfo::default()
            .set_db(i64::from(database))
            // A minimal ACL has no `CLIENT`.
            .set_skip_set_lib_name();
        if let Some(credentials) = credentials {
            login = login.set_password(credentials.password.expose_text());
            if let Some(user) = &credentials.user {
                login = login.set_username(user);
            }
        }
        Ok(Self {
            tls: options.tls.as_ref().map(Connector::new).transpose()?,
            login,
            timeout: Duration::from_millis(options.connect_timeout_ms),
            response_ms: options.response_timeout_ms,
        })
    }

    /// A connection for many calls at once.
    pub(crate) async fn connect(&self, address: &Address) -> Result<(MultiplexedConnection, Driver), Fault> {
        self.bounded(address, async {
            let socket = self.socket(address).await?;
            // Time-outs are ours: the call's, which ends where its caller's patience does.
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let made = MultiplexedConnection::new_with_config(&self.login, socket, config).await?;
            Ok((made.0, Driver(tokio::spawn(made.1))))
        })
        .await
    }

    /// One question over a connection of its own, which ends with the answer.
    pub(crate) async fn ask_once(&self, address: &Address, command: &Cmd) -> Result<Value, Fault> {
        let (mut connection, _driver) = self.connect(address).await?;
        let (ms, at) = (self.response_ms, address.to_string());
        tokio::time::timeout(Duration::from_millis(ms), connection.send_packed_command(command))
            .await
            .map_err(|_| Fault::silent(&at, ms))?
            .and_then(Value::extract_error)
            .map_err(|error| Fault::from(error).at(&at))
    }

    /// A connection that only listens.
    pub(crate) async fn listen(&self, address: &Address) -> Result<PubSub, Fault> {
        self.bounded(address, async {
            let socket = self.socket(address).await?;
            Ok(PubSub::new(&self.login, socket).await?)
        })
        .await
    }

    async fn socket(&self, address: &Address) -> Result<Box<dyn Socket>, Fault> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(|error| Fault::new(Effect::Nothing, error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| Fault::new(Effect::Nothing, error.to_string()))?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let stream = tls.connect(&address.host, stream).await;
        let stream = stream.map_err(|error| Fault::new(Effect::Nothing, format!("TLS: {error}")))?;
        Ok(Box::new(stream))
    }

    async fn bounded<T>(
        &self,
        address: &Address,
        connecting: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let made = tokio::time::timeout(self.timeout, connecting).await;
        let made = made.unwrap_or_else(|_| {
            let ms = self.timeout.as_millis();
            Err(Fault::new(
                Effect::Nothing,
                format!("no connection within {ms} ms"),
            ))
        });
        made.map_err(|fault| fault.before_sending().at(&address.to_string()))
    }
}
