//! The central eligibility system: gRPC over mutual TLS. With a remote driver the only place that names tonic.

mod client;
mod status;
mod tls;
mod wire;

pub use client::{CentralClient, Delivery};
pub use status::CentralError;
pub use tls::TlsError;
pub use wire::{GatewaySigner, NewRequest, SignerError, consent_request, eligibility_payload, sealed_request};
