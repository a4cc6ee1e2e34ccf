//! The central eligibility system: gRPC over mutual TLS. With a remote driver the only place that names tonic.

mod client;
mod person;
mod status;
mod tls;
mod wire;

pub use client::{CentralClient, Delivery};
pub use person::{Insured, insured};
pub use status::CentralError;
pub use tls::TlsError;
pub use wire::{
    FollowUp, FourItems, GatewaySigner, NewRequest, Numbers, Purpose, SignerError, Subject, Whom, consent_request,
    eligibility_payload, follow_up_request, sealed_request,
};
