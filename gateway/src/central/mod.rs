//! The central eligibility system: gRPC over mutual TLS. With a remote driver the only place that names tonic.

mod client;
mod crl;
mod dial;
mod fault;
mod files;
mod former;
mod generation;
mod inspect;
mod known;
mod link;
mod material;
mod pairs;
mod person;
mod reach;
mod status;
mod time;
mod tls;
mod verifier;
mod wire;

pub use client::{CentralClient, Delivery};
pub use fault::{LineFault, Said};
pub use former::{Former, FormerUse, Part};
pub use inspect::{Layer, LineCheck, Looked, Outcome, inspect, inspect_with_former};
pub use link::{LinkStatus, watch};
pub use material::{MaterialError, Validity, day as moment, days_left};
pub use person::{Fact, Insured, insured, message, waits_for_ticket};
pub use reach::Reach;
pub use status::CentralError;
pub use time::keep_time;
pub use tls::{FileKind, TlsError};
pub use wire::{
    FollowUp, FourItems, NewRequest, Numbers, Purpose, SignerError, Subject, Whom, consent_request,
    eligibility_payload, eligibility_request, follow_up_request, sealed_request,
};
