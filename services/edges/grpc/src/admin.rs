//! The admin services: seeds of the directory, the key ring, subjects. One file per service.
//!
//! **Invariant:** a secret is told once, in the answer that made it; a field that this release cannot
//! keep is refused by name, never dropped.

pub(crate) mod audit;
pub(crate) mod caller;
pub(crate) mod client;
pub(crate) mod issuer;
pub(crate) mod key;
pub(crate) mod recovery;
pub(crate) mod resource;
pub(crate) mod server;
pub(crate) mod subject;
pub(crate) mod tenant;

use tonic::{Response, Status};

/// What a handler answers.
pub(crate) type Answered<T> = Result<Response<T>, Status>;

/// Handlers of methods that a later release offers; the door has refused them before.
macro_rules! later {
    ($($method:ident($request:ty) -> $response:ty;)*) => {
        $(
            fn $method<'life0, 'async_trait>(
                &'life0 self,
                request: tonic::Request<$request>,
            ) -> std::pin::Pin<
                Box<dyn Future<Output = Result<tonic::Response<$response>, tonic::Status>> + Send + 'async_trait>,
            >
            where
                'life0: 'async_trait,
                Self: 'async_trait,
            {
                let opened = self.0.open(request);
                Box::pin(async move { Err(opened?.0.later(stringify!($method))) })
            }
        )*
    };
}
pub(crate) use later;
